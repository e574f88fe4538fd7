/* SPDX-License-Identifier: Apache-2.0 */
/* The figures to reach: ratios of Ballast to the kernel, at twice the memory that is there. */
#ifndef BENCH_OVERCOMMIT_GOAL_H
#define BENCH_OVERCOMMIT_GOAL_H

#include "bench/overcommit/results.h"

#define GOAL_OVERCOMMIT 2.0

struct goal {
	const char *scenario; /* NULL: every one, the worst of them */
	const char *except;   /* of every one; NULL: none */
	enum figure figure;
	bool at_least; /* else at most */
	double value;
	const char *text;
};

extern const struct goal goals[];
extern const u32 goal_count;

struct goal_state {
	bool measured, reached;
	double value; /* the ratio, the worst one's where there are several */
	u32 scenario; /* whose it is */
};

struct goal_state goal_check(const struct goal *goal, const struct results *results);

/* "7 of 13 goals reached; missed: ..." without a line break. Returns whether all that could be measured
 * were reached, and some could. */
bool goals_verdict(FILE *stream, const struct results *results);

#endif
