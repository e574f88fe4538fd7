/* SPDX-License-Identifier: Apache-2.0 */
/* What the rounds of a figure come to. */
#ifndef BENCH_METRIC_H
#define BENCH_METRIC_H

#include "bench/bench.h"

struct metric_summary {
	double median; /* over the rounds */
	double tail;   /* median of the rounds' 99th percentiles; < 0: none */
	double least, most;
};

void metric_sum_up(const struct metric *metric, struct metric_summary *summary);

#endif
