/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record made to answer "what if": each step the policy made is made again by the same functions, with
 * settings changed, and compared. What a guest did is as recorded: it does not follow the other decisions.
 */
#ifndef CTL_WHATIF_H
#define CTL_WHATIF_H

#include <stdio.h>

#include "lib/hist.h"
#include "manager/record.h"

#define WHATIF_GUESTS_MAX 65536U

/* What was decided about a guest, summed over steps: as recorded, or as it would have been. */
struct whatif_sum {
	u64 goal, balloon, swap; /* bytes; divided by steps: the mean */
	u64 actions[TARGET_DEFLATE + 1];
	u64 blocked;
};

struct whatif_guest {
	char name[ATTACH_NAME_MAX]; /* "": it is not known */
	u64 steps, differ, differ_in_kind;
	struct target_memory memory;
	struct whatif_sum recorded, now;
	struct hist faults[PAGE_STATES]; /* how long they took, by where the page was */
};

struct whatif_totals {
	u64 steps, decisions, faults, foreign_faults; /* of spaces that no guest was named for */
	u64 first_ms, last_ms;
	u64 differ, differ_in_kind;	 /* decisions; in action, reason or block */
	u64 states_differ;		 /* steps */
	u64 state_steps[2][HOST_STATES]; /* recorded, now */
};

struct whatif;

/* Returns 0 or -ENOMEM. Differences are told to `out` (NULL: to nobody), `lines` at most. */
int whatif_create(FILE *out, u64 lines, struct whatif **whatif);
void whatif_destroy(struct whatif *whatif);

/* "PATH=VALUE", as the control tree has it: a setting of the policy, /memory, or vm/NAME/config/...
 * (NAME may be *). Returns 0; or -EINVAL or -ENOMEM with a sentence. */
int whatif_set(struct whatif *whatif, const char *change, char *error, size_t size);

/* Whether anything was changed. */
bool whatif_changes(const struct whatif *whatif);

/* Takes the next frame of a record. Returns 0; -EBADMSG: it makes no sense, -ENOMEM. */
int whatif_take(struct whatif *whatif, enum record_type type, struct record_in *frame);

const struct whatif_totals *whatif_totals(const struct whatif *whatif);

/* NULL: no such number. Those without steps and faults are to be left out. */
const struct whatif_guest *whatif_guest(const struct whatif *whatif, u32 number);

#endif
