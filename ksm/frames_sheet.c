/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that lie as the pages of a region do. */
#include <pthread.h>

#include "ksm/frame_table.h"
#include "lib/bits.h"
#include "mem/memory.h"

#define CANDIDATES_MAX 8U
#define BLOCKS_MAX     64U /* that are looked at for room at once */
#define COMPARE_PAGES                                                                              \
	8U /* that are read at once: a few, so that they are compared where they still are, in a cache */

/* Sheets that have frames like some of the pages, and how many. */
struct vote {
	u32 sheets[CANDIDATES_MAX], votes[CANDIDATES_MAX];
	u32 count;
};

static void vote_for(struct vote *vote, u32 sheet)
{
	u32 i = 0;

	while (i < vote->count && vote->sheets[i] != sheet)
		i++;
	if (i == CANDIDATES_MAX)
		return;
	if (i == vote->count) {
		vote->sheets[i] = sheet;
		vote->votes[i] = 0;
		vote->count++;
	}
	vote->votes[i]++;
}

/* Lock held. */
static void ask(struct frames *frames, struct vote *vote, u32 place, u64 hash)
{
	for (u32 i = *frame_bucket(frames, hash); i != FRAME_NONE; i = frames->table[i].next) {
		const struct frame *frame = &frames->table[i];

		if (i % REGION_PAGES == place && frame_may_be_like(frames, frame, hash))
			vote_for(vote, i - place);
	}
}

static bool is_empty(const struct frames *frames, u32 sheet)
{
	for (u32 i = sheet; i < sheet + REGION_PAGES; i++)
		if (!frame_is_free(&frames->table[i]))
			return false;
	return true;
}

/* Room for a sheet. Single frames go on behind it. Lock held. */
static u32 find_room(struct frames *frames)
{
	u32 sheets = (u32)(frames->options.capacity / REGION_PAGES);

	for (u32 i = 0; i < MIN(sheets, BLOCKS_MAX); i++) {
		u32 sheet = frames->sheet_cursor++ % sheets * REGION_PAGES;

		if (!is_empty(frames, sheet))
			continue;
		if (frames->cursor / REGION_PAGES == sheet / REGION_PAGES)
			frames->cursor = (u32)((sheet + REGION_PAGES) % frames->options.capacity);
		return sheet;
	}
	return FRAMES_NO_SHEET;
}

u32 frames_choose_sheet(struct frames *frames, const u64 hashes[REGION_PAGES],
			const u64 pages[REGION_PAGES / 64], bool make)
{
	struct vote vote = {.count = 0};
	u32 sheet = FRAMES_NO_SHEET, best = 0;

	pthread_mutex_lock(&frames->lock);
	for (u32 i = 0; i < REGION_PAGES; i++)
		if (bits_have(pages, i))
			ask(frames, &vote, i, hashes[i]);
	for (u32 i = 1; i < vote.count; i++)
		if (vote.votes[i] > vote.votes[best])
			best = i;
	if (vote.count)
		sheet = vote.sheets[best];
	else if (make)
		sheet = find_room(frames);
	pthread_mutex_unlock(&frames->lock);
	return sheet;
}

static bool is_there(const struct frame *frame)
{
	return !frame_is_free(frame) &&
	       (frame->where == FRAME_HERE || frame->where == FRAME_LEAVING);
}

/* Lock held. */
static u32 likely(const struct frames *frames, const struct frames_part *part, u32 asked)
{
	u32 pages = 0;

	for (u32 left = asked; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);
		const struct frame *frame = &frames->table[part->first + i];

		pages |= (u32)(is_there(frame) && frame_may_be_like(frames, frame, part->hashes[i]))
			 << i;
	}
	return pages;
}

/* Of pages less than COMPARE_PAGES apart. Their frames are read together, with what is between. Lock held. */
static u32 refer_some(struct frames *frames, const struct frames_part *part, u32 pages)
{
	_Alignas(64) u8 content[COMPARE_PAGES * PAGE_SIZE];
	u32 low = (u32)__builtin_ctz(pages), count = 32 - (u32)__builtin_clz(pages) - low;
	u32 alike = 0;

	if (!frames_copy(frames, part->first + low, count, content))
		return 0;
	for (u32 left = pages; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);

		alike |= (u32)frame_refer(frames, part->first + i, part->plain + i * PAGE_SIZE,
					  content + (i - low) * PAGE_SIZE)
			 << i;
	}
	return alike;
}

/* Lock held. */
static u32 refer_all(struct frames *frames, const struct frames_part *part, u32 pages)
{
	u32 alike = 0;

	for (u32 left = pages, some; left; left &= ~some) {
		some = left & (u32)(((1ULL << COMPARE_PAGES) - 1) << __builtin_ctz(left));
		alike |= refer_some(frames, part, some);
	}
	return alike;
}

/* Lock held. */
static u32 make_all(struct frames *frames, const struct frames_part *part, u32 pages)
{
	u64 free = 0, made = 0;

	for (u32 i = 0; i < 32; i++)
		bits_put(&free, i,
			 pages >> i & 1 && frame_is_free(&frames->table[part->first + i]));
	for (u32 from, end = 0; bits_next_run(&free, 32, &from, &end);) {
		u32 count = frames_make(frames, part->first + from, end - from,
					part->plain + from * PAGE_SIZE, part->hashes + from);

		made |= ((1ULL << count) - 1) << from;
	}
	return (u32)made;
}

u32 frames_share(struct frames *frames, const struct frames_part *part, u32 asked, u32 make)
{
	struct budget *budget = &frames->options.memory->budget;
	u64 memory = (u64)__builtin_popcount(asked & make) * FRAME_MEMORY;
	u32 found, made;

	/* As in frames_add(). */
	if (!budget_take(budget, memory, BUDGET_SHARE))
		memory = make = 0;
	pthread_mutex_lock(&frames->lock);
	found = refer_all(frames, part, likely(frames, part, asked));
	made = make_all(frames, part, asked & make & ~found);
	pthread_mutex_unlock(&frames->lock);
	budget_give(budget, memory - (u64)__builtin_popcount(made) * FRAME_MEMORY);
	return found | made;
}
