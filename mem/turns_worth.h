/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether turns are worth it: what guests lose with them, against what they lose without, which is tried now and then. By
 * whom turns are taken is not its business (mem/turns.h). No locks: of the one thread that looks.
 */
#ifndef MEM_TURNS_WORTH_H
#define MEM_TURNS_WORTH_H

#include "lib/types.h"

/* A share of a guest's time, in 1024ths. */
#define SHARE_ONE 1024U

/* What guests lose by waiting for memory: shares of their time, summed over so many of them at so many looks. */
struct loss {
	u64 shares, guests, looks;
};

enum turns_mode {
	TURNS_FREE,  /* nobody needs any: all get along as they can */
	TURNS_TAKEN, /* those who thrash take turns */
	TURNS_TRIAL, /* it is looked at what they lose without */
	TURNS_NO,    /* as free; turns were not worth it */
};

struct turns_worth {
	enum turns_mode mode;
	u64 since_ns;		   /* it has been that; turns taken: the first of them is over */
	u32 looks;		   /* in this mode */
	u64 used_ns;		   /* when somebody last had a use for turns */
	bool ended;		   /* of those that are taken, one at least */
	bool worth;		   /* the last verdict */
	u64 keep_ns;		   /* so long it holds */
	struct loss with, without; /* turns, the last time */
};

/* As at the start, and when turns are switched off. */
void turns_worth_init(struct turns_worth *worth);

/* Goes on by one look. `loss` is of those who thrash, wait for a turn or have one; so many turns have `ended`. */
void turns_worth_look(struct turns_worth *worth, u64 now_ns, const struct loss *loss, u32 ended);

#endif
