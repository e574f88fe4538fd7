/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many pages to scan between two pauses, so that a full scan takes the time that is wanted and no more
 * processor time than is allowed: KSM's scan-time advisor (Documentation/admin-guide/mm/ksm.rst). A pure
 * function of what the last full scan took.
 */
#ifndef KSM_ADVISOR_H
#define KSM_ADVISOR_H

#include "lib/types.h"

#define ADVISOR_MIN_PAGES 500U
#define ADVISOR_MAX_PAGES 1000000U

struct advisor {
	u32 target_scan_time; /* seconds for a full scan */
	u32 max_cpu;	      /* percent of one processor */
	u32 sleep_millisecs;
	double change; /* smoothed; 0 before the first scan */
};

/* What one full scan took. */
struct advisor_scan {
	double seconds, cpu_seconds;
	u64 pages;
};

/*
 * What a scan is worth, in 1024ths: how many of the pages that it found unchanged it shared, smoothed over the batches.
 * `worth` is what it was before a batch that found `steady` pages unchanged and shared `taken`.
 */
#define ADVISOR_WORTH_MAX 1024U
u32 advisor_worth(u32 worth, u64 steady, u64 taken);

/* pages_to_scan for the next scan, after one with `pages_to_scan`. */
u32 advisor_next(struct advisor *advisor, const struct advisor_scan *scan, u32 pages_to_scan);

#endif
