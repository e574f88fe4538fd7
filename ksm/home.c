/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing home what guests wrote in the place of frames, and giving every shared page its own memory again. What is home can be
 * evicted and takes no mapping; memory does not come of it.
 */
#include <errno.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "mem/fill.h"
#include "mem/unshare.h"

/* A round begins so long after the last: more pages come together. While memory is plenty nobody misses what cannot be evicted,
 * and what is written again and again costs a way home and a break each time. When little is free it is not waited for more
 * pages, but a way round that brings nothing takes milliseconds where guests are large. */
#define HOME_LAZY   (5 * NSEC_PER_SEC)
#define HOME_PERIOD (500 * NSEC_PER_MSEC)
#define HOME_AGAIN  (10 * NSEC_PER_MSEC)

/* Who asked may be at rest again when the round comes there. */
static bool own_missed(const struct ksm *ksm, const struct space *space)
{
	return ksm->home.asked || sheets_must_go(ksm, space);
}

/* How many pages of a region should come home. What lies between the shared pages of a sheet stays, as long as there is memory:
 * it is where it was, and would cut the sheet in pieces. */
static u32 wanted_home(const struct ksm *ksm, const struct space *space, struct region *region,
		       bool all)
{
	u32 wanted;

	pthread_mutex_lock(&region->lock);
	if (all)
		wanted = region->foreign;
	else if (region->own)
		wanted = own_missed(ksm, space) ? region->private + region->own : 0U;
	else
		wanted = region->private;
	pthread_mutex_unlock(&region->lock);
	return wanted;
}

/* Goes on in one guest, to its end or until so many pages came. Returns how many. */
static u64 home_space(const struct ksm *ksm, struct space *space, u64 *region, u64 limit, bool all)
{
	u64 pages = 0;

	while (*region < space->region_count && pages < limit) {
		u32 wanted = wanted_home(ksm, space, &space->regions[*region], all);
		s64 result = 0;

		if (wanted)
			result = remap_home(space, *region * REGION_PAGES,
					    all || !sheets_may_scatter(ksm, space, wanted));
		if (result == -ESRCH || result == -ENOTSUP)
			*region = space->region_count;
		else if (result > 0)
			pages += (u64)result;
		else
			++*region;
	}
	return pages;
}

static bool anything_wanted(const struct ksm *ksm, const struct space *space, bool all)
{
	if (all)
		return atomic_load(&space->counters.foreign);
	return atomic_load(&space->counters.private) ||
	       (atomic_load(&space->counters.own) && own_missed(ksm, space));
}

/* Goes on from guest to guest. Scan lock held. */
static u64 home_from(struct ksm *ksm, struct cursor *at, u64 limit, bool all)
{
	u64 pages = 0;

	while (at->space < atomic_load(&ksm->memory->slots_used) && pages < limit) {
		struct space *space = memory_get_space(ksm->memory, at->space);
		bool more = false;

		if (space && anything_wanted(ksm, space, all)) {
			pages += home_space(ksm, space, &at->region, limit - pages, all);
			more = at->region < space->region_count;
		}
		if (space)
			space_put(space);
		if (!more)
			*at = (struct cursor){.space = at->space + 1};
	}
	return pages;
}

static u64 bring(struct ksm *ksm, struct cursor *at, u64 limit, bool all)
{
	u64 pages, began;

	pthread_mutex_lock(&ksm->scan_lock);
	began = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	pages = home_from(ksm, at, limit, all);
	atomic_fetch_add(&ksm->cpu_ns, clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - began);
	pthread_mutex_unlock(&ksm->scan_lock);
	atomic_fetch_add(&ksm->brought_home, pages);
	return pages;
}

bool home_presses(const struct memory *memory)
{
	return atomic_load(&memory->reclaiming) ||
	       atomic_load(&memory->private_pages) > unshare_room(memory) / 2;
}

static u64 period(const struct memory *memory)
{
	return budget_spare(&memory->budget) && !home_presses(memory) ? HOME_LAZY : HOME_PERIOD;
}

void home_consider(struct ksm *ksm)
{
	const struct memory *memory = ksm->memory;
	bool low = budget_free(&memory->budget) < memory->budget.low, asked;
	u64 now = clock_now_ns(), since = now - ksm->home.began_ns;

	if (ksm->home.under_way) {
		ksm->home.asked |= low || atomic_load(&ksm->home_wanted);
		return;
	}
	/* Before the counters are looked at: who asks when it is set does not wake the thread. */
	asked = atomic_exchange(&ksm->home_wanted, false);
	if (!atomic_load(&memory->private_pages) && !atomic_load(&memory->own_pages))
		return;
	asked |= low && since >= HOME_AGAIN;
	if (asked || since >= period(memory))
		ksm->home = (struct home_round){
			.under_way = true, .asked = asked, .began_ns = now};
}

void home_go_on(struct ksm *ksm, u64 pages)
{
	struct home_round *round = &ksm->home;

	bring(ksm, &round->at, pages, false);
	if (round->at.space >= atomic_load(&ksm->memory->slots_used))
		*round = (struct home_round){.began_ns = round->began_ns};
}

u64 ksm_bring_home(struct ksm *ksm)
{
	struct cursor at = {0};

	return bring(ksm, &at, UINT64_MAX, false);
}

/* Pages that were evicted by reference come back as copies, as far as there is memory. */
static u64 copy_unmapped(struct space *space)
{
	u64 pages = 0;

	if (!page_table_count(&space->table, PAGE_SHARED))
		return 0;
	for (u64 i = 0; i < space->table.pages; i++) {
		struct page_word word = page_table_read(&space->table, i);

		if (page_word_state(word) != PAGE_SHARED || page_word_foreign(word) ||
		    page_word_busy(word))
			continue;
		fill_window(space, i, 1, FILL_SHARED, FILL_AHEAD, 0);
		pages++;
	}
	return pages;
}

u64 ksm_unmerge(struct ksm *ksm)
{
	struct cursor at = {0};
	u64 pages = bring(ksm, &at, UINT64_MAX, true);

	for (u32 i = 0; i < atomic_load(&ksm->memory->slots_used); i++) {
		struct space *space = memory_get_space(ksm->memory, i);

		if (!space)
			continue;
		pages += copy_unmapped(space);
		space_put(space);
	}
	return pages;
}
