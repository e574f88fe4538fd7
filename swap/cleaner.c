/* SPDX-License-Identifier: Apache-2.0 */
/* Cleaning the swap file: finding what is alive in an extent and moving it out. */
#include "swap/cleaner.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "mem/budget.h"
#include "mem/relocate.h"
#include "swap/codec.h"
#include "swap/swapfile.h"

/* Extents emptied in one run, at most: the caller waits. */
#define CLEAN_BATCH 16U

int cleaner_init(struct cleaner *cleaner)
{
	cleaner->buffer = aligned_alloc(SWAP_BLOCK, EXTENT_BYTES);
	cleaner->mover = malloc(sizeof(*cleaner->mover));
	if (!cleaner->buffer || !cleaner->mover) {
		free(cleaner->buffer);
		free(cleaner->mover);
		return -ENOMEM;
	}
	if (cleaner->budget)
		budget_charge(cleaner->budget, EXTENT_BYTES);
	mover_init(cleaner->mover, &cleaner->stores, true);
	pthread_mutex_init(&cleaner->lock, NULL);
	return 0;
}

void cleaner_exit(struct cleaner *cleaner)
{
	if (cleaner->budget)
		budget_give(cleaner->budget, EXTENT_BYTES);
	pthread_mutex_destroy(&cleaner->lock);
	free(cleaner->mover);
	free(cleaner->buffer);
}

static bool plausible(const struct blob *blob, u64 room)
{
	return blob->size && blob->size <= PAGE_SIZE && codec_find(blob->codec) &&
	       blob_bytes(blob) <= room;
}

/*
 * Walks the blobs of an extent. What is read there may be damaged, or left from an earlier use of the
 * extent: a header that makes no sense sends us to the next block, and a page is moved only if its
 * descriptor says that it is at this very place.
 */
static int move_alive(struct cleaner *cleaner, u32 extent)
{
	u64 base = (u64)extent * EXTENT_BYTES, at = 0;
	int err = 0;

	while (at < EXTENT_BYTES && (!err || err == -ESTALE || err == -EBUSY)) {
		const struct blob *blob = (const void *)(cleaner->buffer + at);

		if (!plausible(blob, EXTENT_BYTES - at)) {
			at = ALIGN_DOWN(at, SWAP_BLOCK) + SWAP_BLOCK;
			continue;
		}
		if (mover_full(cleaner->mover))
			break;
		err = mover_add(cleaner->mover, blob->owner,
				page_word(PAGE_DISK, place_make(base + at, blob)), blob);
		at += ALIGN_UP(blob_bytes(blob), SWAP_UNIT);
	}
	return err == -ESTALE || err == -EBUSY ? 0 : err;
}

/* Empties one extent, as far as its pages can be held. */
static int clean_one(struct cleaner *cleaner)
{
	u64 freed = 0;
	u32 extent;
	int err, finish_err;

	err = swapfile_sparsest(cleaner->stores.file, &extent);
	if (err)
		return err;
	err = swapfile_read_extent(cleaner->stores.file, extent, cleaner->buffer);
	if (!err)
		err = move_alive(cleaner, extent);
	finish_err = mover_finish(cleaner->mover, &freed);
	swapfile_unpin(cleaner->stores.file, extent);
	return err ? err : finish_err;
}

u32 cleaner_run(struct cleaner *cleaner)
{
	u32 cleaned = 0;

	if (pthread_mutex_trylock(&cleaner->lock))
		return 0;
	while (cleaned < CLEAN_BATCH && !clean_one(cleaner))
		cleaned++;
	pthread_mutex_unlock(&cleaner->lock);
	atomic_fetch_add(&cleaner->extents, cleaned);
	return cleaned;
}
