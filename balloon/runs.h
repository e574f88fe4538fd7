/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a list of page frame numbers, as a driver writes it, to runs of frames that lie in a row: dropping
 * a run costs little more than dropping a page. Pure functions.
 */
#ifndef BALLOON_RUNS_H
#define BALLOON_RUNS_H

#include "lib/types.h"

/* Frames [first, first + count) of guest-physical memory. */
struct balloon_run {
	u64 first;
	u64 count;
};

/*
 * Makes runs, ascending and disjoint, of any frames in any order, some of them perhaps twice. `frames` is
 * sorted in place; `scratch` and `runs` have room for `count`. Returns how many runs.
 */
u32 balloon_make_runs(u32 *frames, u32 *scratch, u32 count, struct balloon_run *runs);

/* The whole frames within [gpa, gpa + bytes), for any numbers; false when there is none. */
bool balloon_run_within(u64 gpa, u64 bytes, struct balloon_run *run);

#endif
