/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics that somebody reads while we write: one writer, so a counter needs no locked
 * instruction, only stores that are whole. (With plain stores the thread sanitizer would be right
 * to complain.)
 */
#ifndef GUEST_DRIVER_STATS_H
#define GUEST_DRIVER_STATS_H

#include "lib/hist.h"
#include "lib/types.h"

#define stats_set(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define stats_add(field, value) stats_set(field, (field) + (value))

/* hist_record of a histogram that is being read. */
static inline void stats_record(struct hist *hist, u64 ns)
{
	u32 bucket = hist_bucket(ns);

	stats_add(hist->buckets[bucket], 1);
	stats_add(hist->count, 1);
	stats_add(hist->sum, ns);
	if (ns > hist->max)
		stats_set(hist->max, ns);
}

#endif
