/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing what the scan has found. Pages leave by the steps of an eviction (mem/evict.c), which freezes them, and
 * ksm is the store they go to: it compares all bytes with a frame and takes a reference, or makes a frame. So a
 * page that is written meanwhile stays, as in any eviction. Then the frames are mapped in its place.
 */
#include <errno.h>
#include <stdlib.h>

#include "ksm/internal.h"
#include "mem/evict.h"
#include "mem/remap.h"

/* Runs shorter than this are not worth one of the mappings that are left. */
static u32 shortest_run(const struct ksm *ksm, const struct space *space)
{
	u64 used = atomic_load(&space->counters.vmas), budget = ksm->options.vma_budget;

	if (used >= budget / 10 * 9)
		return REGION_PAGES + 1;
	if (used >= budget / 4 * 3)
		return GROUP_PAGES;
	return used >= budget / 2 ? 4 : 1;
}

/* Takes pages out of the plan that would make runs too short to be mapped: those had better stay. */
static void drop_short_runs(struct plan *plan, u32 shortest)
{
	for (u32 from, end = 0; bits_next_run(plan->take, REGION_PAGES, &from, &end);) {
		for (u32 i = from; i < end && end - from < shortest; i++) {
			bits_put(plan->take, i, false);
			plan->count--;
		}
	}
}

static u32 mappings_left(const struct ksm *ksm, const struct space *space)
{
	u64 used = atomic_load(&space->counters.vmas);

	return used < ksm->options.vma_budget ? (u32)(ksm->options.vma_budget - used) / 2 : 0;
}

s64 share_region(struct ksm *ksm, struct space *space, u64 first, struct plan *plan)
{
	struct page_source *const stores[] = {&ksm->source, NULL};
	u32 filled = 0, shortest = shortest_run(ksm, space);
	s64 taken = sheet_region(ksm, space, first, plan);

	ksm->taken += (u64)MAX(taken, 0);
	if (taken)
		return taken;
	/* Pages that repeat a word need no mapping. */
	if (shortest > 1 && plan->same < plan->count)
		drop_short_runs(plan, shortest);
	if (!plan->count)
		return 0;
	ksm->plan = plan;
	taken = evict_pages_to(space, first, plan->take, stores, &filled);
	ksm->plan = NULL;
	ksm->taken += (u64)MAX(taken, 0);
	atomic_fetch_add_explicit(&ksm->zero_pages, filled, memory_order_relaxed);
	if (taken > 0)
		while (mappings_left(ksm, space) &&
		       remap_out(space, first, MIN(mappings_left(ksm, space), SPACE_REMAP_MAX)) > 0)
			;
	return taken;
}

void share_add_partner(struct ksm *ksm, struct page_owner page, u64 hash)
{
	if (ksm->partner_count < PARTNERS_MAX)
		ksm->partners[ksm->partner_count++] = (struct partner){page, hash};
}

static int by_place(const void *a, const void *b)
{
	const struct partner *left = a, *right = b;

	if (left->page.space != right->page.space)
		return left->page.space < right->page.space ? -1 : 1;
	return (left->page.index > right->page.index) - (left->page.index < right->page.index);
}

static bool same_region(const struct partner *a, const struct partner *b)
{
	return a->page.space == b->page.space &&
	       a->page.index / REGION_PAGES == b->page.index / REGION_PAGES;
}

/* A page that is not alone in its region is worth breaking a huge page; the scan has the last word. */
static bool may_break(struct space *space, u64 index, u32 count)
{
	struct region *region = space_region(space, index);
	bool whole;

	pthread_mutex_lock(&region->lock);
	whole = region->mapping == REGION_WHOLE || region->huge;
	pthread_mutex_unlock(&region->lock);
	return !whole || count >= REGION_PAGES / 8;
}

/* What a sheet has of its own cannot be shared where it is. For a few pages of it that is not worth an end of the sheet; nor are
 * the mappings that it takes, where those are few. */
static void bring_own_home(const struct ksm *ksm, struct space *space, u64 first,
			   const struct plan *plan)
{
	struct region *region = space_region(space, first);
	u32 planned = 0, own;

	for (u32 i = 0; i < REGION_PAGES; i++)
		planned += bits_have(plan->take, i) &&
			   page_word_own(page_table_read(&space->table, first + i));
	do {
		pthread_mutex_lock(&region->lock);
		own = region->own;
		pthread_mutex_unlock(&region->lock);
	} while (planned && own && planned >= own / 2 && sheets_may_scatter(ksm, space, own) &&
		 remap_home(space, first, false) > 0);
}

static void share_some(struct ksm *ksm, const struct partner *partners, u32 count)
{
	struct space *space = memory_get_space(ksm->memory, partners[0].page.space);
	u64 first = ALIGN_DOWN(partners[0].page.index, REGION_PAGES);
	struct plan plan = {.count = 0};

	if (!space)
		return;
	for (u32 i = 0; i < count; i++) {
		u32 place = partners[i].page.index % REGION_PAGES;

		if (!bits_have(plan.take, place))
			plan_share(&plan, place, partners[i].hash);
	}
	if (first + REGION_PAGES <= space->table.pages && may_break(space, first, plan.count)) {
		bring_own_home(ksm, space, first, &plan);
		share_region(ksm, space, first, &plan);
	}
	space_put(space);
}

void share_partners(struct ksm *ksm)
{
	u32 count = ksm->partner_count;

	ksm->partner_count = 0;
	qsort(ksm->partners, count, sizeof(ksm->partners[0]), by_place);
	for (u32 i = 0, end; i < count; i = end) {
		end = i + 1;
		while (end < count && same_region(&ksm->partners[i], &ksm->partners[end]))
			end++;
		share_some(ksm, &ksm->partners[i], end - i);
	}
}
