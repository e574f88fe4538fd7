/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/cold.h"

#include <errno.h>

#include "lib/clock.h"
#include "mem/entitlement.h"
#include "mem/evict.h"
#include "mem/space.h"

#define ROUNDS	   4U /* of the hand in the time that makes memory cold: so much later it is found */
#define ZAP_BATCH  32U /* regions unmapped by one request */
#define EVICT_MOST 16U /* regions of a guest at a time: others may need the thread */

/* Regions to be unmapped. */
struct marks {
	struct space_range ranges[ZAP_BATCH];
	u64 regions[ZAP_BATCH];
	u32 count;
};

/* So many seconds since some moment; never 0. */
static u32 seconds(u64 now_ns)
{
	return (u32)(now_ns / NSEC_PER_SEC) + 1;
}

static void set_age(struct space *space, u64 region, u32 since_s)
{
	pthread_mutex_lock(&space->regions[region].lock);
	space->regions[region].unmapped_s = since_s;
	pthread_mutex_unlock(&space->regions[region].lock);
}

/* What could not be unmapped has no age. */
static void unmap(struct space *space, struct marks *marks)
{
	if (marks->count && space_zap(space, marks->ranges, marks->count))
		for (u32 i = 0; i < marks->count; i++)
			set_age(space, marks->regions[i], 0);
	marks->count = 0;
}

/* Its age is counted from now on. */
static void mark(struct space *space, struct marks *marks, u64 region, u32 now_s)
{
	set_age(space, region, now_s);
	marks->ranges[marks->count] = (struct space_range){region * REGION_SIZE, REGION_SIZE};
	marks->regions[marks->count++] = region;
	if (marks->count == ZAP_BATCH)
		unmap(space, marks);
}

/* Takes the pages that nobody touched; *all: that were all. Returns pages, or -errno as evict_pages(); 0 when there
 * are none. */
static s64 take(struct space *space, u64 region, bool *all)
{
	u64 idle[REGION_PAGES / 64], any = 0, every = UINT64_MAX;
	s64 pages = 0;
	bool full;

	*all = false;
	if (region_unmapped(space, region * REGION_PAGES, idle))
		return 0;
	for (u32 i = 0; i < ARRAY_SIZE(idle); i++) {
		any |= idle[i];
		every &= idle[i];
	}
	*all = every == UINT64_MAX;
	if (!any || entitlement_standing(space) <= STANDING_WITHIN_MIN)
		return 0;
	entitlement_leave(space);
	pages = evict_unmapped(space, region * REGION_PAGES, idle, &full);
	entitlement_left(space);
	if (pages > 0)
		atomic_fetch_add_explicit(&space->counters.cold, (u64)pages, memory_order_relaxed);
	return pages;
}

/* The hand is at a region. Returns as take(). */
static s64 visit(struct space *space, struct marks *marks, u64 index, u32 age_s, u32 now_s)
{
	struct region *region = &space->regions[index];
	u32 since_s;
	s64 pages;
	bool skip, all;

	pthread_mutex_lock(&region->lock);
	/* What the clock has unmapped is its to judge. */
	skip = !region->resident || region->held || region->sampled;
	since_s = region->unmapped_s;
	pthread_mutex_unlock(&region->lock);
	if (skip)
		return 0;
	if (!since_s) {
		mark(space, marks, index, now_s);
		return 0;
	}
	if (now_s - since_s < age_s)
		return 0;
	pages = take(space, index, &all);
	/* What is in use begins anew; what stayed for want of room is no younger than it was. */
	if (!all)
		mark(space, marks, index, now_s);
	return pages;
}

/* How far the hand is to go: round so often in the time that makes memory cold. */
static u64 due(struct space *space, u64 age_ms, u64 now_ns)
{
	struct cold_hand *hand = &space->cold_hand;
	u64 ms, regions;

	if (!hand->moved_ns)
		hand->moved_ns = now_ns;
	ms = MIN((now_ns - hand->moved_ns) / NSEC_PER_MSEC, age_ms);
	regions = space->region_count * ms * ROUNDS / age_ms;
	if (regions)
		hand->moved_ns = now_ns;
	return MIN(regions, space->region_count);
}

static s64 walk(struct space *space, u64 age_ms, u64 now_ns)
{
	struct cold_hand *hand = &space->cold_hand;
	struct marks marks = {.count = 0};
	u32 evicted = 0;
	s64 freed = 0;

	for (u64 left = due(space, age_ms, now_ns); left && evicted < EVICT_MOST; left--) {
		s64 pages =
			visit(space, &marks, hand->region, (u32)(age_ms / 1000), seconds(now_ns));

		if (pages == -ENOSPC && !freed)
			freed = pages;
		if (pages == -ENOSPC)
			break;
		hand->region = (hand->region + 1) % space->region_count;
		evicted += pages > 0;
		freed += MAX(pages, 0);
	}
	unmap(space, &marks);
	return freed > 0 ? freed * (s64)PAGE_SIZE : freed;
}

s64 cold_walk(struct memory *memory, u64 now_ns)
{
	u32 used = atomic_load(&memory->slots_used);
	s64 freed = 0;

	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);
		s64 result = 0;
		u64 age_ms;

		if (!space)
			continue;
		age_ms = atomic_load_explicit(&space->entitlement.cold_ms, memory_order_relaxed);
		if (age_ms && space->options.pagemap >= 0 && space_can_zap(space) &&
		    !atomic_load(&space->failed) && !atomic_load(&space->zap_pending))
			result = walk(space, age_ms, now_ns);
		space_put(space);
		if (result < 0 && freed <= 0)
			freed = result;
		else if (result > 0)
			freed = MAX(freed, 0L) + result;
	}
	return freed;
}
