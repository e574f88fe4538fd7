/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/runs.h"

#include <string.h>

#include "balloon/abi.h"

#define RADIX_BITS 11
#define RADIX_SIZE (1U << RADIX_BITS)
#define RADIX_MASK (RADIX_SIZE - 1)

/* +1: ascending, -1: descending, as Linux mostly gives them; 0: neither. */
static int order(const u32 *frames, u32 count)
{
	u32 up = 1, down = 1;

	while (up < count && frames[up - 1] <= frames[up])
		up++;
	if (up == count)
		return 1;
	while (down < count && frames[down - 1] >= frames[down])
		down++;
	return down == count ? -1 : 0;
}

static void reverse(u32 *frames, u32 count)
{
	for (u32 i = 0; i < count / 2; i++) {
		u32 frame = frames[i];

		frames[i] = frames[count - 1 - i];
		frames[count - 1 - i] = frame;
	}
}

static void radix_pass(const u32 *from, u32 *to, u32 count, u32 shift)
{
	u32 starts[RADIX_SIZE] = {};
	u32 sum = 0;

	for (u32 i = 0; i < count; i++)
		starts[from[i] >> shift & RADIX_MASK]++;
	for (u32 i = 0; i < RADIX_SIZE; i++) {
		u32 here = starts[i];

		starts[i] = sum;
		sum += here;
	}
	for (u32 i = 0; i < count; i++)
		to[starts[from[i] >> shift & RADIX_MASK]++] = from[i];
}

/* Three passes: in time that no order of a hostile driver's can stretch. */
static void radix_sort(u32 *frames, u32 *scratch, u32 count)
{
	radix_pass(frames, scratch, count, 0);
	radix_pass(scratch, frames, count, RADIX_BITS);
	radix_pass(frames, scratch, count, 2 * RADIX_BITS);
	memcpy(frames, scratch, count * sizeof(*frames));
}

u32 balloon_make_runs(u32 *frames, u32 *scratch, u32 count, struct balloon_run *runs)
{
	int sorted = order(frames, count);
	u32 made = 0;

	if (sorted < 0)
		reverse(frames, count);
	else if (!sorted)
		radix_sort(frames, scratch, count);
	for (u32 i = 0; i < count; i++) {
		struct balloon_run *last = made ? &runs[made - 1] : NULL;

		if (last && frames[i] == last->first + last->count)
			last->count++;
		else if (!last || frames[i] > last->first + last->count)
			runs[made++] = (struct balloon_run){frames[i], 1};
	}
	return made;
}

bool balloon_run_within(u64 gpa, u64 bytes, struct balloon_run *run)
{
	u64 end, page = 1UL << BALLOON_PAGE_SHIFT;

	if (__builtin_add_overflow(gpa, bytes, &end) || gpa > UINT64_MAX - page)
		return false;
	gpa = ALIGN_UP(gpa, page);
	end = ALIGN_DOWN(end, page);
	if (gpa >= end)
		return false;
	*run = (struct balloon_run){gpa >> BALLOON_PAGE_SHIFT, (end - gpa) >> BALLOON_PAGE_SHIFT};
	return true;
}
