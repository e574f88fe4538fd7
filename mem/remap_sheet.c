/* SPDX-License-Identifier: Apache-2.0 */
/* The way out of a region as a whole: one mapping, and what is not shared between. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/bits.h"
#include "mem/remap_batch.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/uffd.h"

/* Read, compared and put into their new place together: so much stays in a processor's cache. */
#define CARRY_PAGES (2 * GROUP_PAGES)

/* A region on its way: remap->words is what its pages were. */
struct sheeting {
	struct remap *remap;
	const struct sheet *sheet;
	bool shared[REGION_PAGES]; /* will show its frame, which is held */
	u32 new_shared;		   /* of them, pages that were not shared before */
	u64 taken;		   /* bytes of the budget, for pages in the VMM's own memory */
};

static u64 payload_at(const struct sheet *sheet, u32 place)
{
	return sheet->payload + place;
}

/* Whether the page can lie in the sheet, and nobody works on it. */
static bool fits(const struct sheeting *sheeting, struct page_word word, u32 place)
{
	if (page_word_busy(word))
		return false;
	if (page_word_at_home(word))
		return true;
	return page_word_foreign(word) && page_word_state(word) == PAGE_SHARED &&
	       page_word_payload(word) == payload_at(sheeting->sheet, place);
}

static bool all_fit(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;

	for (u32 i = 0; i < REGION_PAGES; i++) {
		remap->words[i] = page_table_read(&remap->space->table, remap->first + i);
		if (!fits(sheeting, remap->words[i], i))
			return false;
	}
	return true;
}

static void keep_frame(struct sheeting *sheeting, u32 place)
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;

	sharing->ops->hold(sharing, payload_at(sheeting->sheet, place), 1);
	sheeting->shared[place] = true;
}

/* Makes all pages busy, and writes wait. Region's lock held. */
static void hold_all(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;

	for (u32 i = 0; i < REGION_PAGES; i++) {
		page_hold(&remap->space->table, remap->first + i);
		if (page_word_state(remap->words[i]) == PAGE_SHARED)
			keep_frame(sheeting, i);
	}
	remap->region->held += REGION_PAGES;
	remap->count = 1;
	remap->runs[0] = (struct run){0, REGION_PAGES, sheeting->sheet->payload & UINT32_MAX};
}

/* Lets writes through again to pages of the RAM file, as they were. Region's lock held. */
static void thaw(struct remap *remap)
{
	region_forget_hints(remap->space, remap->first, REGION_PAGES);
	for (u32 from = 0, to; from < REGION_PAGES; from = to) {
		bool home = page_word_at_home(remap->words[from]);

		for (to = from + 1;
		     to < REGION_PAGES && page_word_at_home(remap->words[to]) == home;)
			to++;
		if (home)
			uffd_unprotect(remap->space->options.uffd,
				       space_hva(remap->space, remap->first + from),
				       (to - from) * PAGE_SIZE);
	}
	remap->region->clean = 0;
}

static void release_frames(struct sheeting *sheeting)
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;
	struct sharing_run forgotten = {0};

	for (u32 i = 0; i < REGION_PAGES; i++) {
		u64 payload = payload_at(sheeting->sheet, i);

		if (!sheeting->shared[i])
			continue;
		sharing->ops->release(sharing, payload, 1);
		/* It was taken for this. */
		if (page_word_at_home(sheeting->remap->words[i]))
			sharing_forget_later(sharing, &forgotten, payload);
	}
	sharing_forget_run(sharing, &forgotten);
}

static s64 give_up(struct sheeting *sheeting, int result)
{
	struct remap *remap = sheeting->remap;

	pthread_mutex_lock(&remap->region->lock);
	thaw(remap);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	release_frames(sheeting);
	budget_give(&remap->space->memory->budget, sheeting->taken);
	return result;
}

/* Takes the region, if it can be taken now. */
static int begin(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;
	struct budget *budget = &remap->space->memory->budget;
	int result;

	sheeting->taken = REGION_SIZE;
	if (!budget_take(budget, sheeting->taken, BUDGET_SHARE))
		return -ENOMEM;
	pthread_mutex_lock(&remap->region->lock);
	result = all_fit(sheeting) ? region_arm(remap->space, remap->first) : -EAGAIN;
	if (!result) {
		hold_all(sheeting);
		result = remap_test_skip_protect
				 ? 0
				 : uffd_protect(remap->space->options.uffd,
						space_hva(remap->space, remap->first), REGION_SIZE);
	}
	pthread_mutex_unlock(&remap->region->lock);
	if (remap->count)
		return result ? (int)give_up(sheeting, result) : 0;
	budget_give(budget, sheeting->taken);
	return result;
}

/* Has the frames mapped beside guest memory, where nobody touches them; what was there is gone. */
static int stage(struct sheeting *sheeting)
{
	struct space *space = sheeting->remap->space;
	const struct space_remap range = {
		.file_offset = SPACE_REMAP_STAGE,
		.length = REGION_SIZE,
		.frame_offset = sheeting->remap->runs[0].frame * PAGE_SIZE,
	};
	int uffd = space->options.uffd;
	int result = remap_ask_for(space, &range, 1);

	if (!result)
		result = uffd_register_stage(uffd, space->options.stage, REGION_SIZE);
	/* As in remap_watched(). */
	if (result && uffd_unprotect(uffd, space->options.stage, PAGE_SIZE) == -ESRCH)
		return -ESRCH;
	return result;
}

/* Puts pages between the frames: the kernel makes each a page of the VMM's own, whatever the file has there. */
static int put_own(struct sheeting *sheeting, u32 place, const u8 *pages, u32 count)
{
	const struct space_options *options = &sheeting->remap->space->options;

	for (u64 done = 0; done < count * PAGE_SIZE;) {
		s64 bytes = uffd_copy(options->uffd, options->stage + place * PAGE_SIZE + done,
				      pages + done, count * PAGE_SIZE - done);

		if (bytes < 0)
			return (int)bytes;
		done += (u64)bytes;
	}
	return 0;
}

static void share(struct sheeting *sheeting, u32 place, const u8 *page)
{
	struct space *space = sheeting->remap->space;
	struct page_source *store = sheeting->sheet->store;
	struct page_store request = {
		.owner = {space->id, (u32)(sheeting->remap->first + place)},
		.plain = page,
		.node = space->options.node,
		.salt = space->salt,
	};

	if (!bits_have(sheeting->sheet->pages, place) || store->ops->store(store, &request))
		return;
	keep_frame(sheeting, place);
	sheeting->new_shared++;
}

/* What is on its way of places [from, from + CARRY_PAGES): shared, or carried into the stage. */
static int carry(struct sheeting *sheeting, u32 from)
{
	struct remap *remap = sheeting->remap;
	u32 limit = from + CARRY_PAGES;
	int result = 0;

	if (pread(remap->space->options.ram, remap->buffer, CARRY_PAGES * PAGE_SIZE,
		  (off_t)((remap->first + from) * PAGE_SIZE)) != (ssize_t)(CARRY_PAGES * PAGE_SIZE))
		return -EIO;
	for (u32 i = from; i < limit; i++)
		if (page_word_at_home(remap->words[i]))
			share(sheeting, i, remap->buffer + (i - from) * PAGE_SIZE);
	for (u32 i = from, end; i < limit && !result; i = end) {
		for (end = i + 1; end < limit && sheeting->shared[end] == sheeting->shared[i];)
			end++;
		if (!sheeting->shared[i] && !remap_test_skip_own)
			result = put_own(sheeting, i, remap->buffer + (i - from) * PAGE_SIZE,
					 end - i);
	}
	return result;
}

/* What a frame is mapped for must be in memory when the VMM maps it. */
static int bring_frames(struct sheeting *sheeting)
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;
	int result = 0;

	for (u32 i = 0; i < REGION_PAGES && !result; i++)
		if (sheeting->shared[i])
			result = sharing->ops->bring(sharing, payload_at(sheeting->sheet, i), 1,
						     false);
	return result;
}

static int fill_stage(struct sheeting *sheeting)
{
	int result = 0;

	for (u32 i = 0; i < REGION_PAGES && !result; i += CARRY_PAGES)
		result = carry(sheeting, i);
	if (!result && sheeting->new_shared < sheeting->sheet->least)
		result = -EAGAIN;
	return result ? result : bring_frames(sheeting);
}

/* Moves the stage into the guest, and watches it. */
static int move(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;
	struct space *space = remap->space;
	const struct space_remap range = {
		.file_offset = remap->first * PAGE_SIZE,
		.length = REGION_SIZE,
		.frame_offset = SPACE_REMAP_MOVE,
	};
	int result = remap_ask_for(space, &range, 1);

	if (result)
		return result;
	result = remap_register(remap);
	if (!result && !remap_test_skip_protect)
		result = uffd_protect(space->options.uffd, space_hva(space, remap->first),
				      REGION_SIZE);
	return remap_watched(remap, result ? result : remap_look(remap, true));
}

/* The new state of one page. Region's lock held. */
static void commit_page(struct sheeting *sheeting, u32 place, struct away *away)
{
	struct remap *remap = sheeting->remap;
	struct page_table *table = &remap->space->table;
	u64 index = remap->first + place, payload = payload_at(sheeting->sheet, place);
	bool shared = sheeting->shared[place], broken = shared && remap->broken[place];

	if (page_word_at_home(remap->words[place])) {
		page_set(table, index,
			 shared ? page_word(PAGE_SHARED, payload)
				: page_word(PAGE_RESIDENT, payload | PAGE_OWN));
		page_set_foreign(table, index, true);
		away->foreign++;
	}
	if (broken)
		page_set(table, index, page_word(PAGE_RESIDENT, payload));
	away->private += broken;
	away->own += !shared;
}

/* Region's lock held. */
static void commit(struct sheeting *sheeting, struct away *away)
{
	struct remap *remap = sheeting->remap;
	struct region *region = remap->region;
	s64 before = remap_mappings(remap);

	region_forget_hints(remap->space, remap->first, REGION_PAGES);
	for (u32 i = 0; i < REGION_PAGES; i++)
		commit_page(sheeting, i, away);
	/* Nobody has it mapped: it goes as a whole, huge or not. */
	fallocate(remap->space->options.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)(remap->first * PAGE_SIZE), (off_t)REGION_SIZE);
	region->huge = region->large = region->watched = false;
	region->clean = 0;
	region->resident = (u16)(away->private + away->own);
	region->foreign = REGION_PAGES;
	region->private = (u16)away->private;
	region->own = (u16)away->own;
	away->vmas = remap_mappings(remap) - before;
}

/* Broken pages keep their frames. */
static void release_unbroken(struct sheeting *sheeting)
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;

	for (u32 i = 0; i < REGION_PAGES; i++)
		if (sheeting->shared[i] && !sheeting->remap->broken[i])
			sharing->ops->release(sharing, payload_at(sheeting->sheet, i), 1);
}

static void finish(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;
	struct space *space = remap->space;
	u64 left = sheeting->taken;
	struct away away = {0};

	pthread_mutex_lock(&remap->region->lock);
	commit(sheeting, &away);
	remap_count_away(space, &away);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	release_unbroken(sheeting);
	/* What was at home is all foreign now. */
	left += (u64)away.foreign * PAGE_SIZE - (u64)away.own * PAGE_SIZE;
	budget_give(&space->memory->budget, left);
	remap_charge_broken(space, (u32)away.private);
}

/* It is not known what the VMM has mapped at its stage, or ever will have: nothing more is asked of it. */
static s64 lose_stage(struct sheeting *sheeting, int result)
{
	remap_condemn(sheeting->remap, result);
	sheeting->remap->space->remap.stray_bytes += sheeting->taken;
	sheeting->taken = 0;
	return give_up(sheeting, result);
}

/* Nothing is left in the stage: what was put there is memory. */
static s64 clear_stage(struct sheeting *sheeting, int result)
{
	int cleared = stage(sheeting);

	return cleared ? lose_stage(sheeting, cleared) : give_up(sheeting, result);
}

static s64 lay_out(struct sheeting *sheeting)
{
	int result = begin(sheeting);

	if (result)
		return result;
	result = stage(sheeting);
	if (result)
		return lose_stage(sheeting, result);
	result = fill_stage(sheeting);
	if (result)
		return clear_stage(sheeting, result);
	result = move(sheeting);
	/* Whether it was moved or not: what may be mapped keeps its frames until the guest has ended. */
	if (result)
		remap_condemn(sheeting->remap, result);
	finish(sheeting);
	return result ? result : (s64)sheeting->new_shared;
}

s64 remap_sheet(struct space *space, u64 first, const struct sheet *sheet)
{
	struct sheeting sheeting = {.sheet = sheet};
	s64 result;

	if (!space->options.stage)
		return -ENOTSUP;
	result = remap_begin(space, first, false, &sheeting.remap);
	if (result)
		return result;
	sheeting.remap->buffer = aligned_alloc(PAGE_SIZE, CARRY_PAGES * PAGE_SIZE);
	result = sheeting.remap->buffer ? lay_out(&sheeting) : -ENOMEM;
	free(sheeting.remap->buffer);
	remap_end(sheeting.remap);
	return result;
}
