/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that lie as the pages of a region do. */
#include "ksm/frame_table.h"
#include "lib/bits.h"

#define CANDIDATES_MAX 8U
#define BLOCKS_MAX     64U /* that are looked at for room at once */

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

		if (frame->hash == hash && i % REGION_PAGES == place &&
		    frame_has_room(frames, frame))
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
