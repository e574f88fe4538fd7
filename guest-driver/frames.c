// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/frames.h"
#include "guest-driver/guest.h"
#include "guest-driver/memory.h"
#include "guest-driver/poison.h"

/* The last reserve: a 64th of RAM, at least 1 MiB. */
#define RESERVE_PART  64
#define RESERVE_LEAST (MiB / PAGE_SIZE)
#define STRIDE	      7368787U /* a prime above any count of frames of a guest of 28 GiB */

void frames_init(struct frames *frames, struct guest_cpu *cpu, u64 start)
{
	u64 end = cpu->boot->ram_bytes;
	u64 pages = start < end ? (end - start) / PAGE_SIZE : 0;
	u64 tables = ALIGN_UP(2 * pages, PAGE_SIZE) / PAGE_SIZE;
	u64 reserve = MAX(end / PAGE_SIZE / RESERVE_PART, RESERVE_LEAST);

	*frames = (struct frames){};
	if (pages <= tables)
		return;
	frames->state = guest_pointer(cpu, start);
	frames->version = frames->state + pages;
	frames->first = start / PAGE_SIZE + tables;
	frames->count = (u32)(pages - tables);
	frames->reserve = (u32)reserve;
	frames->scatter = cpu->args.scatter;
	frames->have[FRAME_CLEAN] = frames->count;
	/* Memory is zero before it is first written, which is FRAME_CLEAN. */
}

void frames_touch(struct frames *frames, struct guest_cpu *cpu)
{
	for (u32 i = 0; i < frames->count; i++) {
		void *page = guest_pointer(cpu, (frames->first + i) * PAGE_SIZE);

		if (!frame_is_free(frames->state[i]))
			continue;
		*(volatile u64 *)page = i + 1;
		poison_fill(cpu, page);
		frames_set(frames, i, FRAME_DIRTY);
	}
}

void frames_set(struct frames *frames, u32 frame, enum frame_state state)
{
	frames->have[frames->state[frame]]--;
	frames->have[state]++;
	frames->state[frame] = (u8)state;
}

/* Frames before the first boundary of 2 MiB. */
static u32 before_blocks(const struct frames *frames)
{
	return (u32)MIN(ALIGN_UP(frames->first, REGION_PAGES) - frames->first, (u64)frames->count);
}

static bool block_is_free(const struct frames *frames, u32 block, bool *dirty)
{
	*dirty = false;
	for (u32 i = block; i < block + REGION_PAGES; i++) {
		if (!frame_is_free(frames->state[i]))
			return false;
		*dirty |= frames->state[i] == FRAME_DIRTY;
	}
	return true;
}

static void take(struct frames *frames, u32 frame, u32 *pages, u32 *count)
{
	frames_set(frames, frame, FRAME_BALLOONED);
	pages[(*count)++] = (u32)(frames->first + frame);
}

/* Frames in an order in which no two that follow each other are neighbours. */
static u32 inflate_scattered(struct frames *frames, u32 *pages, u32 most)
{
	u32 count = 0;

	for (u32 looked = 0; looked < frames->count && count < most; looked++) {
		u32 frame = (u32)(frames->scattered++ * (u64)STRIDE % frames->count);

		if (frame_is_free(frames->state[frame]))
			take(frames, frame, pages, &count);
	}
	return count;
}

u32 frames_inflate(struct frames *frames, u32 *pages, u32 most)
{
	u32 count = 0;
	bool dirty;

	if (frames->scatter)
		return inflate_scattered(frames, pages, most);
	for (u32 block = before_blocks(frames);
	     block + REGION_PAGES <= frames->count && count + REGION_PAGES <= most;
	     block += REGION_PAGES) {
		if (!block_is_free(frames, block, &dirty))
			continue;
		for (u32 i = block; i < block + REGION_PAGES; i++)
			take(frames, i, pages, &count);
	}
	for (u32 i = 0; i < frames->count && count < most; i++)
		if (frame_is_free(frames->state[i]))
			take(frames, i, pages, &count);
	return count;
}

u32 frames_deflate(const struct frames *frames, u32 *pages, u32 most)
{
	u32 count = 0;

	for (u32 i = 0; i < frames->count && count < most; i++)
		if (frames->state[i] == FRAME_BALLOONED)
			pages[count++] = (u32)(frames->first + i);
	return count;
}

u32 frames_report(struct frames *frames, u32 *pages, u32 most)
{
	u32 count = 0;
	bool dirty;

	for (u32 block = before_blocks(frames);
	     block + REGION_PAGES <= frames->count && count < most; block += REGION_PAGES) {
		if (!block_is_free(frames, block, &dirty) || !dirty)
			continue;
		for (u32 i = block; i < block + REGION_PAGES; i++)
			frames_set(frames, i, FRAME_REPORTING);
		pages[count++] = (u32)(frames->first + block);
	}
	return count;
}

u32 frames_find_free(const struct frames *frames, u32 from, u32 *count)
{
	u32 first = from;

	while (first < frames->count && !frame_is_free(frames->state[first]))
		first++;
	*count = 0;
	while (first + *count < frames->count && frame_is_free(frames->state[first + *count]))
		(*count)++;
	return first;
}
