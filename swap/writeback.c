/* SPDX-License-Identifier: Apache-2.0 */
/* Write-back from the compressed pool to the swap file. */
#include "swap/writeback.h"

#include <errno.h>
#include <stdlib.h>

#include "mem/relocate.h"
#include "swap/cleaner.h"
#include "swap/compact.h"
#include "swap/shared.h"
#include "swap/swapfile.h"
#include "swap/zpool.h"

/* Neighbours that are evicted and loaded together. */
#define GROUP_PAGES 16U
/* Batches under way: enough to keep the writer's buffers busy. */
#define MOVERS 6U

/* One call of scan(). */
struct pass {
	struct writeback *writeback;
	u32 mover; /* being filled; the one after it is the oldest */
	u64 freed;
	int error;
	struct zpool_item items[SLAB_MAX_SLOTS];
	struct mover movers[MOVERS];
};

static void next_mover(struct pass *pass)
{
	int err;

	pass->mover = (pass->mover + 1) % MOVERS;
	err = mover_finish(&pass->movers[pass->mover], &pass->freed);
	if (err)
		pass->error = err;
}

/* Returns whether the page is on its way. */
static bool add_page(struct pass *pass, struct page_owner owner, struct page_word word)
{
	int err = mover_add(&pass->movers[pass->mover], owner, word, NULL);

	if (err && err != -ESTALE && err != -EBUSY)
		pass->error = err;
	if (mover_full(&pass->movers[pass->mover]))
		next_mover(pass);
	return !err;
}

/* A blob that many pages share is cold when none of them asked for it since it was last looked at. It
 * belongs to no group: its pages are anybody's neighbours. */
static void add_shared(struct pass *pass, const struct zpool_item *item)
{
	struct shared *shared = pass->writeback->stores.owners.shared;

	if (!shared_wanted(shared, item->owner.index))
		add_page(pass, item->owner, page_word(PAGE_COMPRESSED, item->payload));
}

/* The page of a cold blob, and then, as long as it is held, the rest of its group. */
static void add_group(struct pass *pass, const struct zpool_item *item)
{
	struct memory *memory = pass->writeback->stores.owners.memory;
	u32 first = item->owner.index & ~(GROUP_PAGES - 1);

	if (!add_page(pass, item->owner, page_word(PAGE_COMPRESSED, item->payload)))
		return;
	for (u32 i = 0; i < GROUP_PAGES && !pass->error; i++) {
		struct page_owner owner = {item->owner.space, first + i};
		struct page_word word = relocate_peek(memory, owner);

		if (page_word_state(word) == PAGE_COMPRESSED && !page_word_busy(word) &&
		    !payload_is_shared(page_word_payload(word)))
			add_page(pass, owner, word);
	}
}

/* Bytes freed and those that will be when the writes are done. */
static u64 pass_bytes(const struct pass *pass)
{
	u64 bytes = pass->freed;

	for (u32 i = 0; i < MOVERS; i++)
		bytes += pass->movers[i].bytes;
	return bytes;
}

/* Writes out the pages of one slab and their neighbours; 0 when the pool is empty. */
static u32 write_slab(struct pass *pass)
{
	u32 count = zpool_coldest(pass->writeback->stores.pool, pass->items);

	for (u32 i = 0; i < count && !pass->error; i++) {
		if (pass->items[i].owner.space == SHARED_OWNER)
			add_shared(pass, &pass->items[i]);
		else
			add_group(pass, &pass->items[i]);
	}
	return count;
}

static void write_out(struct pass *pass, u64 bytes)
{
	struct zpool_stats pool;
	u64 slabs;

	/* Once round all slabs: what is left then is held by others. */
	zpool_stats(pass->writeback->stores.pool, &pool);
	slabs = pool.used_bytes / SLAB_BYTES;
	while (slabs-- > 0 && !pass->error && pass_bytes(pass) < bytes)
		if (!write_slab(pass))
			break;
	for (u32 i = 0; i < MOVERS; i++)
		next_mover(pass);
}

static s64 run_pass(struct writeback *writeback, u64 bytes)
{
	struct pass *pass = malloc(sizeof(*pass));
	s64 result;

	if (!pass)
		return -ENOMEM;
	pass->writeback = writeback;
	pass->mover = 0;
	pass->freed = 0;
	pass->error = 0;
	for (u32 i = 0; i < MOVERS; i++)
		mover_init(&pass->movers[i], &writeback->stores, false);
	if (swapfile_fragmented(writeback->stores.file))
		cleaner_run(writeback->cleaner);
	write_out(pass, bytes);
	/* The neighbours left holes in other slabs. */
	compact_pool(writeback->stores.pool, &writeback->stores.owners, bytes);
	result = pass->freed ? (s64)pass->freed : pass->error;
	free(pass);
	return result;
}

static s64 writeback_scan(struct reclaimer *reclaimer, u64 bytes)
{
	struct writeback *writeback = container_of(reclaimer, struct writeback, reclaimer);
	s64 freed = (s64)compact_pool(writeback->stores.pool, &writeback->stores.owners, bytes);
	s64 written;

	if ((u64)freed >= bytes || !writeback->stores.file)
		return freed;
	written = run_pass(writeback, bytes - (u64)freed);
	return written < 0 && !freed ? written : freed + MAX(written, 0);
}

static u64 writeback_count(struct reclaimer *reclaimer)
{
	struct writeback *writeback = container_of(reclaimer, struct writeback, reclaimer);
	struct zpool_stats pool;

	if (!writeback->stores.file)
		return compact_gain(writeback->stores.pool);
	zpool_stats(writeback->stores.pool, &pool);
	return MIN(pool.used_bytes, swapfile_free_bytes(writeback->stores.file));
}

/* A pool that was full is emptied to its threshold, so that it takes pages again. */
static u64 writeback_due(struct reclaimer *reclaimer)
{
	struct writeback *writeback = container_of(reclaimer, struct writeback, reclaimer);

	if (!writeback->stores.file)
		return 0;
	return MIN(zpool_excess(writeback->stores.pool), swapfile_free_bytes(writeback->stores.file));
}

static const struct reclaimer_ops writeback_ops = {
	.name = "write-back",
	.count = writeback_count,
	.scan = writeback_scan,
	.due = writeback_due,
};

void writeback_init(struct writeback *writeback)
{
	writeback->reclaimer.ops = &writeback_ops;
}
