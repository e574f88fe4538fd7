/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/split.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bits.h"
#include "mem/uffd.h"

#define WRITE_TRIES                                                                                \
	100U /* of ten milliseconds, while the host has no memory for a page that was there just now */

struct split {
	struct space *space;
	u64 first; /* of the region */
	const u64 *stay;
	const u64 *held;
	u8 *copy; /* REGION_PAGES pages, in place */
};

/* Calls for each run of pages that stay, all of them the caller's or none, till one fails. */
static int each_run(const struct split *split,
		    int (*work)(const struct split *split, u32 from, u32 count))
{
	int result = 0;

	for (u32 held = 0; held < 2; held++) {
		u64 pages[REGION_PAGES / 64];

		for (u32 i = 0; i < ARRAY_SIZE(pages); i++)
			pages[i] = split->stay[i] & (held ? split->held[i] : ~split->held[i]);
		for (u32 from, end = 0; !result && bits_next_run(pages, REGION_PAGES, &from, &end);)
			result = work(split, from, end - from);
	}
	return result;
}

static off_t offset_of(const struct split *split, u32 place)
{
	return (off_t)((split->first + place) * PAGE_SIZE);
}

static int read_run(const struct split *split, u32 from, u32 count)
{
	ssize_t bytes = count * PAGE_SIZE;

	return pread(split->space->options.ram, split->copy + from * PAGE_SIZE, (size_t)bytes,
		     offset_of(split, from)) == bytes
		       ? 0
		       : -EIO;
}

/* The kernel has each page in the file with all of its content, or not at all: a guest that touches it meanwhile waits. */
static int write_run(const struct split *split, u32 from, u32 count)
{
	u64 done = 0, bytes = count * PAGE_SIZE;

	for (u32 tries = 0; done < bytes && tries < WRITE_TRIES; tries++) {
		ssize_t now =
			pwrite(split->space->options.ram, split->copy + from * PAGE_SIZE + done,
			       bytes - done, offset_of(split, from) + (off_t)done);

		if (now > 0)
			done += (u64)now;
		else
			usleep(10000);
	}
	return done == bytes ? 0 : -ENOMEM;
}

/* Not what the caller has frozen, nor frames, which are not in the RAM file at all. */
static bool may_write(const struct split *split, u32 place)
{
	struct page_word word = page_table_read(&split->space->table, split->first + place);

	return !page_word_foreign(word) &&
	       !(bits_have(split->stay, place) && bits_have(split->held, place));
}

/* What is not there is no better for being protected: it does not end a run. */
static void let_write(const struct split *split)
{
	for (u32 from = 0, to; from < REGION_PAGES; from = to) {
		to = from + 1;
		if (!may_write(split, from))
			continue;
		while (to < REGION_PAGES && may_write(split, to))
			to++;
		uffd_unprotect(split->space->options.uffd,
			       space_hva(split->space, split->first + from),
			       (to - from) * PAGE_SIZE);
	}
}

/* Whether somebody else reads or writes pages of this region in the RAM file without its lock. */
static bool others_at_work(const struct split *split)
{
	for (u32 i = 0; i < REGION_PAGES; i++) {
		struct page_word word = page_table_read(&split->space->table, split->first + i);

		if (page_word_busy(word) && !bits_have(split->held, i) &&
		    (page_word_state(word) == PAGE_RESIDENT || page_word_foreign(word)))
			return true;
	}
	return false;
}

static int split_with(struct split *split)
{
	struct space *space = split->space;
	struct region *region = space_region(space, split->first);
	u64 hva = space_hva(space, split->first);
	int result;

	result = uffd_protect(space->options.uffd, hva, REGION_SIZE);
	if (!result)
		result = each_run(split, read_run);
	/* What the caller has frozen must stay so, and the others trap once more. */
	if (result)
		return result;
	fallocate(space->options.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  offset_of(split, 0), REGION_SIZE);
	if (each_run(split, write_run))
		space_fail(
			space,
			"its pages from %lu on could not be put back into its RAM file: the host "
			"has no memory left, or the VMM or another process cut it short",
			split->first);
	region->huge = region->large = false;
	region_forget_hints(space, split->first, REGION_PAGES);
	region->clean = 0;
	let_write(split);
	return 0;
}

int split_region(struct space *space, u64 index, const u64 stay[REGION_PAGES / 64],
		 const u64 held[REGION_PAGES / 64])
{
	struct memory *memory = space->memory;
	struct split split = {
		.space = space,
		.first = ALIGN_DOWN(index, REGION_PAGES),
		.stay = stay,
		.held = held,
	};
	int result = -ENOMEM;

	if (others_at_work(&split))
		return -EBUSY;
	pthread_mutex_lock(&memory->split_lock);
	if (!memory->split_buffer)
		memory->split_buffer = aligned_alloc(PAGE_SIZE, REGION_SIZE);
	memory->split_used = true;
	split.copy = memory->split_buffer;
	if (split.copy)
		result = split_with(&split);
	pthread_mutex_unlock(&memory->split_lock);
	return result;
}

void split_trim(struct memory *memory)
{
	if (pthread_mutex_trylock(&memory->split_lock))
		return;
	if (!memory->split_used) {
		free(memory->split_buffer);
		memory->split_buffer = NULL;
	}
	memory->split_used = false;
	pthread_mutex_unlock(&memory->split_lock);
}

int split_all(struct space *space, u64 index)
{
	u64 all[REGION_PAGES / 64], none[REGION_PAGES / 64] = {0};

	memset(all, 0xff, sizeof(all));
	return split_region(space, index, all, none);
}

bool split_punch(struct space *space, u64 first, u64 count)
{
	u64 stay[REGION_PAGES / 64] = {0}, none[REGION_PAGES / 64] = {0};
	u64 region = ALIGN_DOWN(first, REGION_PAGES);

	fallocate(space->options.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)(first * PAGE_SIZE), (off_t)(count * PAGE_SIZE));
	if (!space_region(space, first)->large || !region_has_rest(space, first, count))
		return true;
	for (u32 i = 0; i < REGION_PAGES; i++) {
		struct page_word word = page_table_read(&space->table, region + i);
		bool here = page_word_at_home(word);

		if (here && (region + i < first || region + i >= first + count))
			bits_put(stay, i, true);
	}
	return !split_region(space, first, stay, none);
}
