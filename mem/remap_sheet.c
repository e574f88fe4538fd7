/* SPDX-License-Identifier: Apache-2.0 */
/* The way out of a region as a whole: one mapping, and what is not shared between. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/bits.h"
#include "mem/remap_batch.h"
#include "mem/sharing.h"
#include "mem/uffd.h"

/* A region on its way: remap->words is what its pages were. */
struct sheeting {
	struct remap *remap;
	const struct sheet *sheet;
	u64 home[REGION_PAGES / 64];   /* were in the RAM file, others in this sheet, a bit each */
	u64 shared[REGION_PAGES / 64]; /* will show their frames, which are held, a bit each */
	u32 new_shared;		       /* of them, pages that were not shared before */
	u64 taken;		       /* bytes of the budget, for pages in the VMM's own memory */
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

/* Holds, releases or forgets frames, a bit each. */
static void each_frame(struct sheeting *sheeting, const u64 places[REGION_PAGES / 64],
		       void (*call)(struct sharing *sharing, u64 payload, u32 count))
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;

	for (u32 from, end = 0; bits_next_run(places, REGION_PAGES, &from, &end);)
		call(sharing, payload_at(sheeting->sheet, from), end - from);
}

/* Makes all pages busy, and writes wait. Region's lock held. */
static void hold_all(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;

	for (u32 i = 0; i < REGION_PAGES; i++) {
		page_hold(&remap->space->table, remap->first + i);
		bits_put(sheeting->home, i, page_word_at_home(remap->words[i]));
	}
	for (u32 i = 0; i < ARRAY_SIZE(sheeting->home); i++)
		sheeting->shared[i] = ~sheeting->home[i];
	each_frame(sheeting, sheeting->shared, remap->space->memory->sharing->ops->hold);
	remap->region->held += REGION_PAGES;
	remap->count = 1;
	remap->runs[0] = (struct run){0, REGION_PAGES, sheeting->sheet->payload & UINT32_MAX};
}

/* Lets writes through again to pages of the RAM file, as they were. Region's lock held. */
static void thaw(struct sheeting *sheeting)
{
	struct remap *remap = sheeting->remap;

	region_forget_hints(remap->space, remap->first, REGION_PAGES);
	for (u32 from, end = 0; bits_next_run(sheeting->home, REGION_PAGES, &from, &end);)
		uffd_unprotect(remap->space->options.uffd,
			       space_hva(remap->space, remap->first + from),
			       (end - from) * PAGE_SIZE);
	remap->region->clean = 0;
}

/* ... and references that were taken for this. */
static void release_frames(struct sheeting *sheeting)
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;
	u64 taken[REGION_PAGES / 64];

	each_frame(sheeting, sheeting->shared, sharing->ops->release);
	for (u32 i = 0; i < ARRAY_SIZE(taken); i++)
		taken[i] = sheeting->shared[i] & sheeting->home[i];
	each_frame(sheeting, taken, sharing->ops->forget);
}

static s64 give_up(struct sheeting *sheeting, int result)
{
	struct remap *remap = sheeting->remap;

	pthread_mutex_lock(&remap->region->lock);
	thaw(sheeting);
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

/* Pages of the RAM file, which go into places [from, from + SHEET_PART). */
static void share(struct sheeting *sheeting, u32 from)
{
	const struct sheet *sheet = sheeting->sheet;
	u64 shared[REGION_PAGES / 64] = {0};
	u32 asked = bits_part(sheeting->home, from) & bits_part(sheet->pages, from), found;

	if (!asked)
		return;
	found = sheet->share(sheet, from, sheet->copies, asked);
	shared[from / 64] = (u64)found << from % 64;
	each_frame(sheeting, shared, sheeting->remap->space->memory->sharing->ops->hold);
	sheeting->shared[from / 64] |= shared[from / 64];
	sheeting->new_shared += (u32)__builtin_popcount(found);
}

/* What is on its way of places [from, from + SHEET_PART): shared, or carried into the stage. */
static int carry(struct sheeting *sheeting, u32 from)
{
	struct remap *remap = sheeting->remap;
	u8 *copies = sheeting->sheet->copies;
	int result = 0;
	u64 own;

	if (pread(remap->space->options.ram, copies, SHEET_PART * PAGE_SIZE,
		  (off_t)((remap->first + from) * PAGE_SIZE)) != (ssize_t)(SHEET_PART * PAGE_SIZE))
		return -EIO;
	share(sheeting, from);
	own = ~bits_part(sheeting->shared, from);
	for (u32 low, end = 0; !result && bits_next_run(&own, SHEET_PART, &low, &end);)
		if (!remap_test_skip_own)
			result = put_own(sheeting, from + low, copies + low * PAGE_SIZE, end - low);
	return result;
}

/* What a frame is mapped for must be in memory when the VMM maps it. */
static int bring_frames(struct sheeting *sheeting)
{
	struct sharing *sharing = sheeting->remap->space->memory->sharing;
	int result = 0;

	for (u32 from, end = 0;
	     !result && bits_next_run(sheeting->shared, REGION_PAGES, &from, &end);)
		result = sharing->ops->bring(sharing, payload_at(sheeting->sheet, from), end - from,
					     false);
	return result;
}

static int fill_stage(struct sheeting *sheeting)
{
	int result = 0;

	for (u32 i = 0; i < REGION_PAGES && !result; i += SHEET_PART)
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
	bool shared = bits_have(sheeting->shared, place), broken = shared && remap->broken[place];

	if (bits_have(sheeting->home, place)) {
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
	u64 places[REGION_PAGES / 64];

	for (u32 i = 0; i < REGION_PAGES; i++)
		bits_put(places, i, bits_have(sheeting->shared, i) && !sheeting->remap->broken[i]);
	each_frame(sheeting, places, sheeting->remap->space->memory->sharing->ops->release);
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
	result = lay_out(&sheeting);
	remap_end(sheeting.remap);
	return result;
}
