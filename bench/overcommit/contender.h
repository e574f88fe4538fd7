/* SPDX-License-Identifier: Apache-2.0 */
/* Who manages the guests' memory. */
#ifndef BENCH_OVERCOMMIT_CONTENDER_H
#define BENCH_OVERCOMMIT_CONTENDER_H

#include "lib/types.h"

enum contender_kind {
	CONTENDER_NONE,	  /* plain memory, as much as there is */
	CONTENDER_KERNEL, /* plain memory in a cgroup, swap on zram and a file, KSM */
	CONTENDER_BALLAST,
};

struct contender {
	const char *name, *summary;
	enum contender_kind kind;
	bool variant; /* Ballast with something off: measured at one overcommit only */
	const char *host, *ksm, *policy; /* lines that differ in the configuration; NULL: none */
};

extern const struct contender contenders[];
extern const u32 contender_count;

/* Their places in the table. */
enum { NONE = 0, KERNEL = 1, BALLAST = 2 };

/* The number of that name, or -1. */
s32 contender_find(const char *name);

#endif
