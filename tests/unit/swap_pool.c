/* SPDX-License-Identifier: Apache-2.0 */
/* The compressed pool: space, limits, compaction. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "swap/compact.h"
#include "swap/zpool.h"
#include "swap_rig.h"

#define PAGES 8192U

static struct encoded blob_of_size(u32 size, const u8 *data)
{
	return (struct encoded){.header = {.owner = {0, size}, .size = (u16)size}, .data = data};
}

Test(swap_pool, every_size_is_kept_whole)
{
	u64 payloads[ZPOOL_MAX_BLOB + 1];
	struct zpool *pool;
	u8 data[PAGE_SIZE];

	page_fill(data, CONTENT_NOISE);
	cr_assert_eq(zpool_create(64 * MiB, 1, NULL, &pool), 0);
	for (u32 size = 1; size <= ZPOOL_MAX_BLOB; size++) {
		struct encoded blob = blob_of_size(size, data);

		cr_assert_eq(zpool_store(pool, 0, &blob, &payloads[size]), 0);
	}
	for (u32 size = 1; size <= ZPOOL_MAX_BLOB; size++) {
		const struct blob *blob = zpool_blob(pool, payloads[size]);

		cr_assert_eq(blob->owner.index, size);
		cr_assert_eq(blob->size, size);
		cr_assert(!memcmp(blob_data(blob), data, size));
		cr_assert(zpool_free(pool, payloads[size]) >= size);
	}
	cr_expect_eq(pool->limit.slabs, 0);
	zpool_destroy(pool);
}

Test(swap_pool, a_blob_beyond_the_largest_slot_is_refused)
{
	struct zpool *pool;
	struct encoded blob;
	u8 data[PAGE_SIZE] = {1};
	u64 payload;

	cr_assert_eq(zpool_create(MiB, 1, NULL, &pool), 0);
	blob = blob_of_size(ZPOOL_MAX_BLOB + 1, data);
	cr_expect_eq(zpool_store(pool, 0, &blob, &payload), -E2BIG);
	zpool_destroy(pool);
}

Test(swap_pool, keeps_to_its_limit_and_recovers)
{
	u64 payloads[64], refused;
	struct zpool *pool;
	u8 data[PAGE_SIZE] = {1};
	struct encoded blob = blob_of_size(4000, data);

	cr_assert_eq(zpool_create(4 * SLAB_BYTES, 1, NULL, &pool), 0);
	for (u32 i = 0; i < 64; i++)
		cr_assert_eq(zpool_store(pool, 0, &blob, &payloads[i]), 0);
	cr_expect_eq(zpool_store(pool, 0, &blob, &refused), -ENOSPC);
	cr_expect_eq(pool->limit_hit, 1);
	for (u32 i = 0; i < 64; i++)
		zpool_free(pool, payloads[i]);
	cr_expect_eq(zpool_store(pool, 0, &blob, &payloads[0]), 0);
	zpool_destroy(pool);
}

Test(swap_pool, a_node_has_its_own_part)
{
	u64 payloads[40];
	struct zpool *pool;
	struct zpool_stats stats;
	u8 data[PAGE_SIZE] = {1};
	struct encoded blob = blob_of_size(4000, data);

	cr_assert_eq(zpool_create(64 * MiB, 2, NULL, &pool), 0);
	for (u32 i = 0; i < 40; i++)
		cr_assert_eq(zpool_store(pool, i < 8 ? 0 : 1, &blob, &payloads[i]), 0);
	zpool_stats(pool, &stats);
	cr_expect_eq(zpool_node_bytes(pool, 0), SLAB_BYTES);
	cr_expect_eq(zpool_node_bytes(pool, 1), 2 * SLAB_BYTES);
	cr_expect_eq(stats.used_bytes, 3 * SLAB_BYTES);
	cr_expect_eq(zpool_node_bytes(pool, 2), 0);
	for (u32 i = 0; i < 40; i++)
		zpool_free(pool, payloads[i]);
	zpool_stats(pool, &stats);
	cr_expect_eq(zpool_node_bytes(pool, 0) + zpool_node_bytes(pool, 1), stats.used_bytes);
	zpool_destroy(pool);
}

struct grower {
	struct zpool *pool;
	pthread_barrier_t *round;
};

#define GROWERS	    4U
#define GROW_ROUNDS 2000U

/* Stores a blob at the same moment as the others do, and frees it once all have stored theirs. */
static void *grow(void *argument)
{
	struct grower *grower = argument;
	u8 data[PAGE_SIZE] = {1};
	struct encoded blob = blob_of_size(2000, data);
	u64 payload;

	for (u32 i = 0; i < GROW_ROUNDS; i++) {
		pthread_barrier_wait(grower->round);
		cr_assert_eq(zpool_store(grower->pool, 0, &blob, &payload), 0);
		pthread_barrier_wait(grower->round);
		zpool_free(grower->pool, payload);
		if (pthread_barrier_wait(grower->round) == PTHREAD_BARRIER_SERIAL_THREAD)
			cr_expect_eq(grower->pool->limit.slabs, 0);
	}
	return NULL;
}

Test(swap_pool, threads_that_grow_a_class_at_once_leave_no_empty_slab)
{
	struct grower grower;
	pthread_t threads[GROWERS];
	pthread_barrier_t round;

	pthread_barrier_init(&round, NULL, GROWERS);
	grower.round = &round;
	cr_assert_eq(zpool_create(MiB, 1, NULL, &grower.pool), 0);
	for (u32 i = 0; i < GROWERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, grow, &grower), 0);
	for (u32 i = 0; i < GROWERS; i++)
		pthread_join(threads[i], NULL);
	zpool_destroy(grower.pool);
	pthread_barrier_destroy(&round);
}

Test(swap_pool, takes_from_the_budget_and_gives_back)
{
	struct budget budget;
	struct zpool *pool;
	u8 data[PAGE_SIZE] = {1};
	struct encoded blob = blob_of_size(2000, data);
	u64 payload, before;
	u32 stored = 0;

	budget_init(&budget, 2 * MiB);
	cr_assert_eq(zpool_create(64 * MiB, 1, &budget, &pool), 0);
	before = budget.used;
	while (!zpool_store(pool, 0, &blob, &payload))
		stored++;
	cr_expect(budget.used <= 2 * MiB);
	cr_expect_eq(budget.used, before + pool->limit.slabs * SLAB_BYTES);
	cr_expect(stored * 2016UL > (2 * MiB - before) / 10 * 9);
	zpool_destroy(pool);
	cr_expect_eq(budget.used, 0);
}

Test(swap_pool, pages_round_trip)
{
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	for (u32 i = 0; i < PAGES; i++) {
		rig.content[i] = i * 2;
		cr_assert_eq(rig_evict(&rig, i), 0);
	}
	for (u32 i = 0; i < PAGES; i++)
		cr_assert_eq(rig_fetch(&rig, i), 0);
	rig_destroy(&rig);
}

Test(swap_pool, turns_away_what_does_not_shrink)
{
	struct swap_stats stats;
	struct rig rig;

	rig_create(&rig, 1, MiB, 0, NULL);
	rig.content[0] = CONTENT_NOISE;
	cr_expect_eq(rig_evict(&rig, 0), -E2BIG);
	swap_stats(rig.swap, &stats);
	cr_expect_eq(stats.reject_compress_poor, 1);
	rig_destroy(&rig);
}

/* All that is not content: headers, slots too large, tails of slabs, slabs not full, metadata. */
Test(swap_pool, overhead_is_at_most_8_percent)
{
	struct swap_stats stats;
	struct rig rig;
	u64 used;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	for (u32 i = 0; i < PAGES; i++) {
		rig.content[i] = i * 2;
		cr_assert_eq(rig_evict(&rig, i), 0);
	}
	swap_stats(rig.swap, &stats);
	used = stats.pool_bytes + stats.pool_bytes / SLAB_BYTES * sizeof(struct zslab);
	cr_expect(used <= stats.pool_blob_bytes / 100 * 108, "%.1f %% above the blobs' bytes",
		  100.0 * (double)used / (double)stats.pool_blob_bytes - 100);
	rig_destroy(&rig);
}

static u64 pool_bytes(struct rig *rig)
{
	struct swap_stats stats;

	swap_stats(rig->swap, &stats);
	return stats.pool_bytes;
}

Test(swap_pool, compaction_gives_back_what_loads_have_left_in_holes)
{
	struct rig rig;
	u64 full, holes, compact;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	for (u32 i = 0; i < PAGES; i++) {
		rig.content[i] = i * 2;
		cr_assert_eq(rig_evict(&rig, i), 0);
	}
	full = pool_bytes(&rig);
	for (u32 i = 0; i < PAGES; i++)
		if (i % 4)
			cr_assert_eq(rig_fetch(&rig, i), 0);
	holes = pool_bytes(&rig);
	cr_expect(rig.writeback->ops->count(rig.writeback) >= full / 4);
	cr_expect(rig.writeback->ops->scan(rig.writeback, GiB) > 0);
	compact = pool_bytes(&rig);
	cr_expect(compact <= full / 3, "%lu full, %lu with holes, %lu compact", full, holes,
		  compact);
	for (u32 i = 0; i < PAGES; i += 4)
		cr_assert_eq(rig_fetch(&rig, i), 0);
	rig_destroy(&rig);
}

Test(swap_pool, compaction_leaves_held_pages)
{
	struct page_word word;
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	for (u32 i = 0; i < PAGES; i++) {
		rig.content[i] = i * 2;
		cr_assert_eq(rig_evict(&rig, i), 0);
	}
	for (u32 i = 1; i < PAGES; i++)
		cr_assert_eq(rig_fetch(&rig, i), 0);
	cr_assert(rig_hold(&rig, 0));
	word = rig_word(&rig, 0);
	rig.writeback->ops->scan(rig.writeback, GiB);
	cr_expect(page_word_same(rig_word(&rig, 0), word));
	cr_expect_eq(rig_load(&rig, 0, word), 0);
	word.bits &= ~PAGE_BUSY;
	rig_release(&rig, 0, word);
	rig_destroy(&rig);
}

Test(swap_pool, oldest_slab_comes_first)
{
	struct zpool_item items[SLAB_MAX_SLOTS];
	struct zpool *pool;
	u8 data[PAGE_SIZE] = {1};
	u64 payload;
	u32 count;

	cr_assert_eq(zpool_create(MiB, 1, NULL, &pool), 0);
	for (u32 i = 0; i < 100; i++) {
		struct encoded blob = blob_of_size(2000, data);

		blob.header.owner.index = i;
		cr_assert_eq(zpool_store(pool, 0, &blob, &payload), 0);
	}
	count = zpool_coldest(pool, items);
	cr_assert_eq(count, 32);
	for (u32 i = 0; i < count; i++)
		cr_expect_eq(items[i].owner.index, i);
	cr_assert_eq(zpool_coldest(pool, items), 32);
	cr_expect_eq(items[0].owner.index, 32);
	zpool_destroy(pool);
}
