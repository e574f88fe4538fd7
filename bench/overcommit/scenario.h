/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scenarios: which guests run together, and what they do. A scenario is the same for whoever
 * manages the memory: the same guests, data, seeds and amount of work.
 */
#ifndef BENCH_OVERCOMMIT_SCENARIO_H
#define BENCH_OVERCOMMIT_SCENARIO_H

#include <stdio.h>

#include "lib/types.h"

#define SCENARIO_PARTS 2

/* Guests alike. */
struct scenario_part {
	const char *name;
	u32 count;
	const char *workload, *args;
	u32 ops; /* of each guest; 0: it works until the others are done, and is not measured */
};

struct scenario {
	const char *name, *summary;
	bool from_start; /* the fill is part of the work: throughput counts from the first guest's start */
	const char *loss;			    /* why the kernel is faster, where it is */
	struct scenario_part parts[SCENARIO_PARTS]; /* the first have a count */
};

extern const struct scenario scenarios[];
extern const u32 scenario_count;

/* How large a run is. */
struct scale {
	u64 guest_bytes;
	u32 work_percent; /* of the operations in the table */
	const char *data; /* file or folder whose bytes fill the guests */
};

u32 scenario_guests(const struct scenario *scenario);

/* Operations of a guest of this part at this scale; 0 as in the table. */
u64 scenario_ops(const struct scenario_part *part, const struct scale *scale);

/* Writes the [guest] sections of a configuration file. */
void scenario_write(FILE *stream, const struct scenario *scenario, const struct scale *scale);

/* The scenario of that name, or NULL. */
const struct scenario *scenario_find(const char *name);

#endif
