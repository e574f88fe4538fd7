/* SPDX-License-Identifier: Apache-2.0 */
/* The figures we set out to reach. */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include "bench/bench.h"

struct target {
	const char *metric;
	bool at_least; /* else at most */
	double value;
	const char *text;
};

/* NULL when nothing was set for this figure. */
const struct target *target_find(const char *metric);
bool target_reached(const struct target *target, double value);

#endif
