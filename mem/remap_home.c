/* SPDX-License-Identifier: Apache-2.0 */
/* The way home: a guest's RAM file in the place of frames, with what was there, or with nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mem/remap_batch.h"
#include "mem/sharing.h"
#include "mem/uffd.h"

#define COPY_PAGES (2 * GROUP_PAGES)

/* Copies protected pages next to each other from wherever they are to the RAM file. */
static int copy_home(struct remap *remap, u32 place, u32 count)
{
	struct space *space = remap->space;
	size_t bytes = count * PAGE_SIZE;
	struct iovec to = {remap->buffer, bytes};
	struct iovec from = {(void *)(uintptr_t)space_hva(space, remap->first + place), bytes};

	int result = remap_read(remap, to, &from, 1);

	if (!result && pwrite(space->options.ram, remap->buffer, bytes,
			      (off_t)((remap->first + place) * PAGE_SIZE)) != (ssize_t)bytes)
		result = errno ? -errno : -EIO;
	return result;
}

static int copy_all(struct remap *remap)
{
	int result = 0;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = 0; i < run->count && !result; i += COPY_PAGES)
			result = copy_home(remap, run->place + i, MIN(run->count - i, COPY_PAGES));
		if (result)
			break;
	}
	return result;
}

/* A page that was in the VMM's own memory is none of its any more. */
static void count_back(struct remap *remap, u32 place, struct away *away)
{
	away->foreign--;
	away->private -= remap_was_private(remap, place);
	away->own -= remap_was_own(remap, place);
}

/* Region's lock held. */
static void leave_region(struct remap *remap, const struct away *away)
{
	struct region *region = remap->region;

	region->foreign = (u16)(region->foreign + away->foreign);
	region->private = (u16)(region->private + away->private);
	region->own = (u16)(region->own + away->own);
}

/* Region's lock held. */
static void commit_home(struct remap *remap, struct away *away)
{
	struct page_table *table = &remap->space->table;
	s64 before = remap_mappings(remap);

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++) {
			page_set(table, remap->first + i, page_word(PAGE_RESIDENT, 0));
			page_set_foreign(table, remap->first + i, false);
			count_back(remap, i, away);
			remap->region->clean &= ~(1U << i / GROUP_PAGES);
			/* Nobody has it mapped; that does not say that nobody uses it. */
			region_note_use(remap->space, remap->first + i);
		}
	}
	remap->region->unmapped_s = 0;
	remap->region->resident += remap_pages(remap) + away->private + away->own;
	leave_region(remap, away);
	away->vmas = remap_mappings(remap) - before;
}

/* Nothing is mapped in the place of these pages any more. Those with a frame hold it, the private ones since they were
 * written. */
static void forget_frames(struct remap *remap)
{
	struct sharing *sharing = remap->space->memory->sharing;
	struct sharing_run forgotten = {0};

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++) {
			u64 payload = page_word_payload(remap->words[i]);

			if (!page_word_shares(remap->words[i]))
				continue;
			sharing->ops->release(sharing, payload, 1);
			sharing_forget_later(sharing, &forgotten, payload);
		}
	}
	sharing_forget_run(sharing, &forgotten);
}

/* Makes writes wait: they are in nobody's way then until the pages are home. Region's lock held. */
static int freeze(struct remap *remap)
{
	int result = 0;

	if (remap_test_skip_protect)
		return 0;
	FOR_EACH_RUN(run, remap)
	{
		result = uffd_protect(remap->space->options.uffd, remap_hva(remap, run),
				      run->count * PAGE_SIZE);
		if (result)
			break;
	}
	return result;
}

/* Half of the runs; and of the only one, half of its pages. */
static void halve(struct remap *remap)
{
	if (remap->count > 1)
		remap->count /= 2;
	else if (!(remap->runs[0].count /= 2))
		remap->count = 0;
}

/* Holds as many pages as there is memory for their copies. */
static int hold_home(struct remap *remap, bool all)
{
	struct budget *budget = &remap->space->memory->budget;
	int result;

	pthread_mutex_lock(&remap->region->lock);
	if (remap->region->foreign)
		remap_collect(remap, all);
	while (remap->count && !budget_take(budget, remap_pages(remap) * PAGE_SIZE, BUDGET_SHARE))
		halve(remap);
	remap_hold(remap);
	result = freeze(remap);
	pthread_mutex_unlock(&remap->region->lock);
	if (!result)
		result = remap_bring_frames(remap);
	if (result) {
		remap_give_up(remap);
		budget_give(budget, remap_pages(remap) * PAGE_SIZE);
	}
	return result ? result : remap->count ? 0 : -EAGAIN;
}

static s64 home(struct remap *remap, bool all)
{
	struct space *space = remap->space;
	struct away away = {0};
	u32 pages;
	int result = hold_home(remap, all);

	if (result)
		return result;
	pages = remap_pages(remap);
	result = copy_all(remap);
	if (!result)
		result = remap_ask(remap);
	if (!result)
		result = remap_watched(remap, remap_register(remap));
	if (result) {
		remap_fail(remap, result);
		space->remap.stray_bytes += pages * PAGE_SIZE;
		return result;
	}
	pthread_mutex_lock(&remap->region->lock);
	commit_home(remap, &away);
	remap_count_away(space, &away);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	/* What the VMM had of its own was in memory twice; a shared page was counted with its frame. */
	budget_give(&space->memory->budget, (u64) - (away.private + away.own) * PAGE_SIZE);
	forget_frames(remap);
	return pages;
}

s64 remap_home(struct space *space, u64 first, bool all)
{
	struct remap *remap;
	s64 result = remap_begin(space, first, true, &remap);

	if (result)
		return result;
	remap->buffer = aligned_alloc(PAGE_SIZE, COPY_PAGES * PAGE_SIZE);
	result = remap->buffer ? home(remap, all) : -ENOMEM;
	free(remap->buffer);
	remap_end(remap);
	return result;
}

/* Nothing of them is left in the RAM file, should a touch have come between its mapping and the watch. Region's
 * lock held. */
static void commit_drop(struct remap *remap, enum page_state to, struct away *away)
{
	struct page_table *table = &remap->space->table;
	s64 before = remap_mappings(remap);

	FOR_EACH_RUN(run, remap)
	{
		fallocate(remap->space->options.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)((remap->first + run->place) * PAGE_SIZE),
			  (off_t)(run->count * PAGE_SIZE));
		for (u32 i = run->place; i < run->place + run->count; i++) {
			page_set_foreign(table, remap->first + i, false);
			page_set(table, remap->first + i, page_word(to, 0));
			count_back(remap, i, away);
		}
	}
	remap->region->resident += away->private + away->own;
	leave_region(remap, away);
	away->vmas = remap_mappings(remap) - before;
}

static s64 drop(struct remap *remap, enum page_state to)
{
	struct space *space = remap->space;
	struct away away = {0};
	u32 pages;
	int result;

	pthread_mutex_lock(&remap->region->lock);
	if (remap->region->foreign)
		remap_collect(remap, true);
	remap_hold(remap);
	pthread_mutex_unlock(&remap->region->lock);
	if (!remap->count)
		return -EAGAIN;
	result = remap_ask(remap);
	if (!result)
		result = remap_watched(remap, remap_register(remap));
	if (result) {
		remap_fail(remap, result);
		return result;
	}
	pages = remap_pages(remap);
	pthread_mutex_lock(&remap->region->lock);
	commit_drop(remap, to, &away);
	remap_count_away(space, &away);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	budget_give(&space->memory->budget, (u64) - (away.private + away.own) * PAGE_SIZE);
	forget_frames(remap);
	return pages;
}

s64 remap_drop(struct space *space, u64 first, u64 count, enum page_state to)
{
	struct remap *remap;
	s64 result = remap_begin(space, first, true, &remap);

	if (result)
		return result;
	remap->low = (u32)(first - remap->first);
	remap->high = remap->low + (u32)count;
	result = drop(remap, to);
	remap_end(remap);
	return result;
}
