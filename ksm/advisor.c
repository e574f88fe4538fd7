/* SPDX-License-Identifier: Apache-2.0 */
#include "ksm/advisor.h"

#include "lib/clock.h"

/* Weight of what was before, so that one odd scan does not turn everything. */
#define KEEP 0.7
/* What was before is forgotten over so many pages. */
#define WORTH_PAGES 8192UL
#define WORTH_LEAST (ADVISOR_WORTH_MAX / 16)
/* A scan that shares next to nothing rests so many times as long as it worked, and no longer than that. */
#define REST	  16U
#define REST_MOST (5 * NSEC_PER_SEC)
/* A batch finds something when it is one page in so many. */
#define FOUND_LEAST 64U
/* For whoever waits for the scan lock. */
#define HURRY_NS NSEC_PER_MSEC

/* Pages between two pauses that cost all of the processor time that is allowed: work / (work + pause) is at
 * most max_cpu. */
static double cpu_bound(const struct advisor *advisor, const struct advisor_scan *scan)
{
	double share = advisor->max_cpu / 100.0;
	double page_seconds = scan->pages ? scan->cpu_seconds / (double)scan->pages : 0;

	if (share >= 1 || page_seconds <= 0)
		return ADVISOR_MAX_PAGES;
	return advisor->sleep_millisecs / 1000.0 * share / (1 - share) / page_seconds;
}

u32 advisor_next(struct advisor *advisor, const struct advisor_scan *scan, u32 pages_to_scan)
{
	double target = advisor->target_scan_time ? advisor->target_scan_time : 1;
	double change = scan->seconds / target, pages, bound = cpu_bound(advisor, scan);

	if (advisor->change > 0)
		change = KEEP * advisor->change + (1 - KEEP) * change;
	advisor->change = change;
	pages = pages_to_scan * change;
	pages = MIN(pages, bound);
	return (u32)MIN(MAX(pages, ADVISOR_MIN_PAGES), ADVISOR_MAX_PAGES);
}

u32 advisor_worth(u32 worth, u64 steady, u64 taken)
{
	steady = MIN(steady, WORTH_PAGES);
	return (u32)((worth * (WORTH_PAGES - steady) + ADVISOR_WORTH_MAX * MIN(taken, steady)) /
		     WORTH_PAGES);
}

enum advisor_pace advisor_pace(enum advisor_pace pace, u32 worth, u64 free_bytes, u64 budget_bytes)
{
	u64 enough = budget_bytes / (pace == ADVISOR_HURRY ? 2 : 4);

	if (worth < WORTH_LEAST)
		return ADVISOR_IDLE;
	return free_bytes < enough ? ADVISOR_HURRY : ADVISOR_WORTH;
}

u64 advisor_pause(enum advisor_pace pace, const struct advisor_batch *batch, u64 pause_ns)
{
	u64 found = batch->shared + batch->fresh;

	if (pace == ADVISOR_HURRY && found && found >= batch->pages / FOUND_LEAST)
		return MIN(pause_ns, HURRY_NS);
	if (pace == ADVISOR_IDLE && batch->fresh < batch->pages / 2)
		return MAX(pause_ns, MIN(batch->worked_ns * REST, REST_MOST));
	return pause_ns;
}
