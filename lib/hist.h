/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A latency histogram of fixed size: log-linear buckets, as in HdrHistogram (hdrhistogram.org):
 * every power of two is cut into 16 equal parts, so a value is known to within 6.25 % from
 * 1 ns to 68 s, and recording is a shift and an add. Freestanding: guests record with it too.
 *
 * One writer; readers may look at any time and see a slightly older state.
 */
#ifndef LIB_HIST_H
#define LIB_HIST_H

#include "lib/types.h"

#define HIST_SUB_BITS 4
#define HIST_SUB      (1U << HIST_SUB_BITS)
#define HIST_OCTAVES  32
#define HIST_BUCKETS  (HIST_SUB * (HIST_OCTAVES + 1))

struct hist {
	u64 count;
	u64 sum; /* ns */
	u64 max; /* ns */
	u64 buckets[HIST_BUCKETS];
};

/* The bucket of a value in ns; the last one takes all that is larger. */
static inline u32 hist_bucket(u64 ns)
{
	u32 octave, index;

	if (ns < HIST_SUB)
		return (u32)ns;
	octave = 63 - __builtin_clzll(ns) - HIST_SUB_BITS;
	if (octave >= HIST_OCTAVES)
		return HIST_BUCKETS - 1;
	index = (u32)(ns >> octave) & (HIST_SUB - 1);
	return (octave + 1) * HIST_SUB + index;
}

static inline void hist_record(struct hist *hist, u64 ns)
{
	hist->buckets[hist_bucket(ns)]++;
	hist->count++;
	hist->sum += ns;
	if (ns > hist->max)
		hist->max = ns;
}

/* The smallest value in ns that falls into this bucket. */
u64 hist_bucket_floor(u32 bucket);

/* The value in ns below which permille/1000 of the records lie (upper edge of its bucket, at most
 * the maximum seen); 0 when empty. */
u64 hist_percentile(const struct hist *hist, u32 permille);

/* Adds every record of `from` to `to`. */
void hist_merge(struct hist *to, const struct hist *from);

#endif
