/* SPDX-License-Identifier: Apache-2.0 */
/* The way out: frames in the place of a guest's pages. */
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "mem/pagemap.h"
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

/* Maps each page for reading, if it is not: what is not mapped cannot be told from what was swapped out. */
static int touch(struct remap *remap)
{
	struct iovec from[REGION_PAGES], to;
	u8 bytes[REGION_PAGES];
	u32 pages = 0;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = 0; i < run->count; i++)
			from[pages++] = (struct iovec){
				(void *)(uintptr_t)(remap_hva(remap, run) + i * PAGE_SIZE), 1};
	}
	to = (struct iovec){bytes, pages};
	if (process_vm_readv(remap->space->options.pid, &to, 1, from, pages, 0) != (ssize_t)pages)
		return errno ? -errno : -EIO;
	return 0;
}

/* Finds the pages that were written before their run was protected. Two calls for all runs. */
static int look(struct remap *remap)
{
	struct span span = remap_span(remap);
	u64 entries[REGION_PAGES];
	int result;

	if (remap_test_skip_look)
		return 0;
	result = touch(remap);
	if (result)
		return result;
	if (pagemap_read(remap->space, remap->first + span.low, span.high - span.low,
			 entries + span.low))
		return -EIO;
	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++)
			remap->broken[i] =
				!(entries[i] & PAGEMAP_PRESENT) || !(entries[i] & PAGEMAP_FILE);
	}
	return 0;
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
	return remap_watched(remap, result ? result : look(remap));
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
	remap_count_away(space, pages, broken, remap_mappings(remap) - before);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	release_unbroken(remap);
	budget_charge(&space->memory->budget, broken * PAGE_SIZE);
	atomic_fetch_add_explicit(&space->counters.cow_breaks, broken, memory_order_relaxed);
	atomic_fetch_add_explicit(&space->memory->cow_breaks, broken, memory_order_relaxed);
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
