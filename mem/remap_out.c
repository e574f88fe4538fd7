/* SPDX-License-Identifier: Apache-2.0 */
/* The way out: frames in the place of a guest's pages. */
#include <errno.h>
#include <stdlib.h>

#include "mem/remap_batch.h"
#include "mem/sharing.h"
#include "mem/uffd.h"

static int longer(const void *a, const void *b)
{
	const struct run *left = a, *right = b;

	return (left->count < right->count) - (left->count > right->count);
}

/* Keeps the longest runs, which save most for a mapping each. */
static void choose(struct remap *remap, u32 max_runs)
{
	if (remap->count <= max_runs)
		return;
	qsort(remap->runs, remap->count, sizeof(remap->runs[0]), longer);
	remap->count = max_runs;
}

/* Begins to watch the frames that the VMM has mapped, and looks what was written until then. */
static int watch(struct remap *remap)
{
	int result = remap_register(remap);

	FOR_EACH_RUN(run, remap)
	{
		if (result || remap_test_skip_protect)
			break;
		result = uffd_protect(remap->space->options.uffd, remap_hva(remap, run),
				      run->count * PAGE_SIZE);
	}
	return remap_watched(remap, result ? result : remap_look(remap, false));
}

/* The new states of pages on their way out. Region's lock held. Returns how many were written. */
static u32 commit_out(struct remap *remap)
{
	struct page_table *table = &remap->space->table;
	u32 broken = 0;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++) {
			struct page_word word = remap->words[i];

			page_set_foreign(table, remap->first + i, true);
			if (!remap->broken[i])
				continue;
			page_set(table, remap->first + i,
				 page_word(PAGE_RESIDENT, page_word_payload(word)));
			broken++;
		}
		remap->region->foreign += run->count;
	}
	remap->region->resident += broken;
	remap->region->private += broken;
	return broken;
}

/* A page that was written holds its frame until it is home. */
static void release_unbroken(struct remap *remap)
{
	struct sharing *sharing = remap->space->memory->sharing;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place, end; i < run->place + run->count; i = end + 1) {
			for (end = i; end < run->place + run->count && !remap->broken[end];)
				end++;
			if (end > i)
				sharing->ops->release(sharing, page_word_payload(remap->words[i]),
						      end - i);
		}
	}
}

static s64 out(struct remap *remap, u32 max_runs)
{
	struct space *space = remap->space;
	struct away away;
	u32 broken = 0, pages;
	s64 before;
	int result;

	pthread_mutex_lock(&remap->region->lock);
	if (remap->region->mapping == REGION_ARMED)
		remap_collect(remap, false);
	choose(remap, max_runs);
	remap_hold(remap);
	pthread_mutex_unlock(&remap->region->lock);
	if (!remap->count)
		return -EAGAIN;
	result = remap_bring_frames(remap);
	if (result) {
		remap_give_up(remap);
		return result;
	}
	result = remap_ask(remap);
	if (!result)
		result = watch(remap);
	if (result) {
		remap_fail(remap, result);
		return result;
	}
	pages = remap_pages(remap);
	pthread_mutex_lock(&remap->region->lock);
	before = remap_mappings(remap);
	broken = commit_out(remap);
	away = (struct away){pages, broken, 0, remap_mappings(remap) - before};
	remap_count_away(space, &away);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	release_unbroken(remap);
	remap_charge_broken(space, broken);
	return pages;
}

s64 remap_out(struct space *space, u64 first, u32 max_runs)
{
	struct remap *remap;
	s64 result = remap_begin(space, first, false, &remap);

	if (result)
		return result;
	result = out(remap, max_runs);
	remap_end(remap);
	return result;
}
