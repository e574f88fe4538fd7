/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the overcommit benchmark measures of a cell, and how rounds become one number: figures are
 * plain doubles by name, so that collecting, summing up and writing them down needs no code a figure.
 */
#ifndef BENCH_OVERCOMMIT_FIGURE_H
#define BENCH_OVERCOMMIT_FIGURE_H

#include "lib/types.h"

#define ROUNDS_MAX 15

enum figure {
	FIG_THROUGHPUT,
	FIG_P50,
	FIG_P99,
	FIG_P999,
	FIG_STALL, /* derived: results_derive() */
	FIG_CPU_GUESTS,
	FIG_CPU_MANAGER,
	FIG_CPU_KERNEL,
	FIG_CPU_TOTAL,
	FIG_CPU_MEMORY, /* derived */
	FIG_MEMORY_MEAN,
	FIG_MEMORY_PEAK,
	FIG_DISK_READ,
	FIG_DISK_WRITTEN,
	FIG_SAVED_SHARING,
	FIG_SAVED_SAME,
	FIG_SAVED_COMPRESSION,
	FIG_SAVED_DISK,
	FIG_SAVED_BALLOON,
	FIG_FILL,
	FIG_STEADY,
	FIG_DURATION,
	FIG_PRESSURE,
	FIG_OPERATIONS,
	FIG_BUSY, /* time in operations, summed over guests */
	FIG_VERIFIED,
	FIG_KILLS,
	FIGURES
};

struct figure_info {
	const char *key;  /* in report.json */
	const char *unit; /* of the number in report.json */
	const char *label;
};

extern const struct figure_info figure_info[FIGURES];

struct summary {
	double median, least, most;
	u32 rounds; /* 0: never measured, and the others are 0 */
};

/* Median (of an even number: the mean of the middle two), least and most of the finite values among
 * `count` ones, at most ROUNDS_MAX. */
struct summary summary_of(const double *values, u32 count);

/* a / b; NAN when either is not there or b is 0. */
double ratio_of(double a, double b);

/*
 * The largest x at which y stays within `share` of `base`, of `count` points in rising x: the last one
 * before the first that falls below (1 - share) * base, or that was not measured (NAN). 0 when the
 * first already does.
 */
double largest_within(const double *x, const double *y, u32 count, double base, double share);

/* The time from which on a series stays within `share` of its last value; times[0] when it always
 * does. count > 0. */
double steady_from(const double *times, const double *values, u32 count, double share);

#endif
