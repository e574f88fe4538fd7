/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many pages to scan between two pauses, so that a full scan takes the time that is wanted and no more
 * processor time than is allowed: KSM's scan-time advisor (Documentation/admin-guide/mm/ksm.rst). And how urgent the scan is.
 * Pure functions.
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
 * What a scan is worth, of ADVISOR_WORTH_MAX: how many of the pages that it found unchanged it shared, smoothed over 8192
 * of them. `worth` is what it was before `steady` pages were found unchanged, of which `taken` were shared.
 */
#define ADVISOR_WORTH_MAX (1U << 20)
u32 advisor_worth(u32 worth, u64 steady, u64 taken);

/*
 * Nobody waits for a scan. But where it shares one in sixteen of the pages that had not changed, its time is well spent; and
 * where memory is short too it spares guests more than it takes from them: a look takes a microsecond, and a page swapped out
 * and in some sixty.
 */
enum advisor_pace { ADVISOR_IDLE, ADVISOR_WORTH, ADVISOR_HURRY };

/* The pace of a scan that is worth so much, with so many bytes free of the budget. `pace`, as it is: memory is short when less
 * than a quarter is free, and then until half is. */
enum advisor_pace advisor_pace(enum advisor_pace pace, u32 worth, u64 free_bytes, u64 budget_bytes);

/* What one batch did. */
struct advisor_batch {
	u64 pages; /* that it was to look at */
	u64 shared;
	u64 fresh; /* seen for the first time */
	u64 worked_ns;
};

/*
 * How long to pause after a batch, where `pause_ns` is what is set. In a hurry no more than a millisecond, if it shared or saw for
 * the first time one page in 64. At IDLE sixteen times as long as it took, up to five seconds, unless it saw half of them for the
 * first time: what a scan takes from guests is not only the processor, but a fault at the next write to what it watches, and it
 * watches nothing at first sight.
 */
u64 advisor_pause(enum advisor_pace pace, const struct advisor_batch *batch, u64 pause_ns);

/* pages_to_scan for the next scan, after one with `pages_to_scan`. */
u32 advisor_next(struct advisor *advisor, const struct advisor_scan *scan, u32 pages_to_scan);

#endif
