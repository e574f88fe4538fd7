/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of shared blobs: references, moves and reads, in every order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/budget.h"
#include "swap/shared.h"
#include "swap/swapfile.h"
#include "swap/zpool.h"
#include "swap_rig.h"

#define CONTENT 2U
#define SALT	5U

struct table {
	struct budget budget;
	struct zpool *pool;
	struct swapfile *file;
	struct shared *shared;
	u32 extent;
	u64 at; /* in the extent: where the next blob is said to be */
	u32 hash;
};

static void create(struct table *table, u64 budget, u64 max)
{
	char path[64];
	struct swapfile_options file = {.path = path, .bytes = 4 * MiB};
	struct shared_options options = {.budget = &table->budget, .max = max};

	*table = (struct table){0};
	mkdir("build", 0777);
	snprintf(path, sizeof(path), "%s.%d", RIG_FILE, getpid());
	budget_init(&table->budget, budget);
	cr_assert_eq(zpool_create(4 * MiB, 1, NULL, &table->pool), 0);
	cr_assert_eq(swapfile_create(&file, &table->file), 0);
	cr_assert_eq(swapfile_take(table->file, false, &table->extent), 0);
	options.pool = table->pool;
	options.file = table->file;
	cr_assert_eq(shared_create(&options, &table->shared), 0);
}

static u64 blobs_in_pool(struct table *table)
{
	struct zpool_stats stats;

	zpool_stats(table->pool, &stats);
	return stats.blobs;
}

static u64 blobs_in_file(struct table *table)
{
	struct swapfile_stats stats;

	swapfile_stats(table->file, &stats);
	return stats.blobs;
}

static void destroy(struct table *table)
{
	cr_expect_eq(blobs_in_pool(table), 0);
	cr_expect_eq(blobs_in_file(table), 0);
	shared_destroy(table->shared);
	swapfile_destroy(table->file);
	zpool_destroy(table->pool);
	cr_expect_eq(table->budget.used, 0);
}

static struct page_word store(struct table *table)
{
	struct page_owner owner = {0, 0};
	struct encoded encoded;
	u8 page[PAGE_SIZE];
	u64 payload;

	page_fill(page, CONTENT);
	blob_encode(&owner, page, 1, 3000, &encoded);
	table->hash = encoded.header.hash;
	cr_assert_eq(zpool_store(table->pool, 0, &encoded, &payload), 0);
	return page_word(PAGE_COMPRESSED, payload);
}

/* A place in the file for the same blob. */
static struct page_word file_place(struct table *table, struct page_word pool)
{
	const struct blob *blob = zpool_blob(table->pool, page_word_payload(pool));
	u64 offset = table->extent * EXTENT_BYTES + table->at;

	table->at += ALIGN_UP(blob_bytes(blob), SWAP_UNIT);
	return page_word(PAGE_DISK, swapfile_hold(table->file, offset, blob));
}

static u32 add(struct table *table, u32 refs, struct page_word *place)
{
	u32 number;

	*place = store(table);
	cr_assert_eq(shared_add(table->shared, page_word_payload(*place), SALT, refs, &number), 0);
	return number;
}

static struct shared_stats stats_of(struct table *table)
{
	struct shared_stats stats;

	shared_stats(table->shared, &stats);
	return stats;
}

static bool take(struct table *table, u32 number, u32 salt, u32 hash)
{
	_Alignas(struct blob) u8 room[SHARED_BLOB_ROOM];

	return shared_take(table->shared, number, salt, hash, UINT32_MAX, (struct blob *)room);
}

static void drop(struct table *table, u32 number, u32 times)
{
	while (times-- > 0)
		shared_drop(table->shared, number);
}

Test(swap_shared, the_last_reference_frees_blob_and_entry)
{
	struct page_word place;
	struct table table;
	u32 number;

	create(&table, GiB, 100);
	number = add(&table, 2, &place);
	cr_expect_eq(zpool_blob(table.pool, page_word_payload(place))->owner.space, SHARED_OWNER);
	cr_expect_eq(zpool_blob(table.pool, page_word_payload(place))->owner.index, number);
	cr_expect(take(&table, number, SALT, table.hash));
	cr_expect_eq(stats_of(&table).pages, 3);
	drop(&table, number, 2);
	cr_expect_eq(blobs_in_pool(&table), 1);
	cr_expect_eq(stats_of(&table).saved_bytes, 0);
	drop(&table, number, 1);
	cr_expect_eq(blobs_in_pool(&table), 0);
	cr_expect_eq(stats_of(&table).blobs, 0);
	cr_expect_eq(add(&table, 1, &place), number);
	drop(&table, number, 1);
	destroy(&table);
}

Test(swap_shared, only_the_same_domain_and_hash_get_a_reference)
{
	struct page_word place, disk;
	struct table table;
	u32 number;

	create(&table, GiB, 100);
	number = add(&table, 1, &place);
	cr_expect_not(take(&table, number, SALT + 1, table.hash));
	cr_expect_not(take(&table, number, SALT, table.hash + 1));
	cr_expect_not(take(&table, number + 1, SALT, table.hash));
	cr_expect_not(take(&table, UINT32_MAX, SALT, table.hash));
	cr_expect(take(&table, number, SALT, table.hash));
	/* In the file it is out of reach. */
	disk = file_place(&table, place);
	cr_assert_eq(shared_hold(table.shared, number, place), 0);
	cr_expect(shared_let_go(table.shared, number, place, disk));
	zpool_free(table.pool, page_word_payload(place));
	cr_expect_not(take(&table, number, SALT, table.hash));
	cr_expect_eq(stats_of(&table).disk_pages, 2);
	drop(&table, number, 2);
	cr_expect_not(take(&table, number, SALT, table.hash));
	cr_expect_eq(stats_of(&table).disk_pages, 0);
	destroy(&table);
}

Test(swap_shared, one_mover_at_a_time_and_only_from_where_the_blob_is)
{
	struct page_word place, other;
	struct table table;
	u32 number;

	create(&table, GiB, 100);
	number = add(&table, 1, &place);
	other = page_word(PAGE_COMPRESSED, page_word_payload(place) + 1);
	cr_expect_eq(shared_hold(table.shared, number, other), -ESTALE);
	cr_expect_eq(shared_hold(table.shared, number + 1, place), -ESTALE);
	cr_expect_eq(shared_hold(table.shared, number, place), 0);
	cr_expect_eq(shared_hold(table.shared, number, place), -EBUSY);
	/* A failed move: all as it was. */
	cr_expect(shared_let_go(table.shared, number, place, place));
	cr_expect_eq(shared_hold(table.shared, number, place), 0);
	cr_expect(shared_let_go(table.shared, number, place, place));
	drop(&table, number, 1);
	cr_expect_eq(shared_hold(table.shared, number, place), -ESTALE);
	destroy(&table);
}

Test(swap_shared, a_blob_can_be_read_while_it_moves)
{
	_Alignas(struct blob) u8 room[SHARED_BLOB_ROOM];
	struct page_word place, to;
	struct table table;
	u8 page[PAGE_SIZE], expected[PAGE_SIZE];
	u32 number;
	u64 at;

	create(&table, GiB, 100);
	page_fill(expected, CONTENT);
	number = add(&table, 1, &place);
	cr_assert_eq(shared_hold(table.shared, number, place), 0);
	cr_expect_eq(shared_read(table.shared, number, (struct blob *)room, &at), 0);
	cr_expect_eq(blob_decode((struct blob *)room, sizeof(room), page), 0);
	cr_expect(!memcmp(page, expected, PAGE_SIZE));
	to = store(&table);
	cr_expect(shared_let_go(table.shared, number, place, to));
	zpool_free(table.pool, page_word_payload(place));
	memset(page, 0, sizeof(page));
	cr_expect_eq(shared_read(table.shared, number, (struct blob *)room, &at), 0);
	cr_expect_eq(blob_decode((struct blob *)room, sizeof(room), page), 0);
	cr_expect(!memcmp(page, expected, PAGE_SIZE));
	drop(&table, number, 1);
	destroy(&table);
}

Test(swap_shared, a_mover_is_left_with_a_blob_that_nobody_wants_any_more)
{
	struct page_word place, disk;
	struct table table;
	u32 number, other;

	create(&table, GiB, 100);
	for (u32 fails = 0; fails < 2; fails++) {
		number = add(&table, 2, &place);
		cr_assert_eq(shared_hold(table.shared, number, place), 0);
		drop(&table, number, 2);
		cr_expect_eq(blobs_in_pool(&table), 1);
		cr_expect_not(take(&table, number, SALT, table.hash));
		disk = file_place(&table, place);
		cr_expect(shared_let_go(table.shared, number, place, fails ? place : disk));
		/* As a mover does: the place that is not the entry's. */
		if (fails)
			swapfile_release(table.file, page_word_payload(disk));
		else
			zpool_free(table.pool, page_word_payload(place));
		cr_expect_eq(blobs_in_pool(&table) + blobs_in_file(&table), 0);
		other = add(&table, 1, &place);
		cr_expect_eq(other, number);
		drop(&table, other, 1);
	}
	destroy(&table);
}

Test(swap_shared, a_read_from_the_file_keeps_the_blob_in_place)
{
	_Alignas(struct blob) u8 room[SHARED_BLOB_ROOM];
	struct page_word place, disk, elsewhere;
	struct table table;
	u32 number;
	u64 at;

	create(&table, GiB, 100);
	number = add(&table, 2, &place);
	disk = file_place(&table, place);
	elsewhere = file_place(&table, place);
	cr_assert_eq(shared_hold(table.shared, number, place), 0);
	cr_expect(shared_let_go(table.shared, number, place, disk));
	zpool_free(table.pool, page_word_payload(place));

	cr_expect_eq(shared_read(table.shared, number, (struct blob *)room, &at), 1);
	cr_expect_eq(at, page_word_payload(disk));
	cr_expect_eq(shared_hold(table.shared, number, disk), -EBUSY);
	shared_read_end(table.shared, number);
	/* A reader that comes once the mover is at work. */
	cr_assert_eq(shared_hold(table.shared, number, disk), 0);
	cr_expect_eq(shared_read(table.shared, number, (struct blob *)room, &at), 1);
	cr_expect_not(shared_let_go(table.shared, number, disk, elsewhere));
	shared_read_end(table.shared, number);
	cr_assert_eq(shared_hold(table.shared, number, disk), 0);
	cr_expect(shared_let_go(table.shared, number, disk, elsewhere));
	swapfile_release(table.file, page_word_payload(disk));
	drop(&table, number, 2);
	destroy(&table);
}

Test(swap_shared, a_wanted_blob_says_so_once)
{
	struct page_word place;
	struct table table;
	u32 number;

	create(&table, GiB, 100);
	number = add(&table, 2, &place);
	cr_expect_not(shared_wanted(table.shared, number));
	cr_expect(take(&table, number, SALT, table.hash));
	cr_expect(shared_wanted(table.shared, number));
	cr_expect_not(shared_wanted(table.shared, number));
	cr_expect_not(shared_wanted(table.shared, 77));
	drop(&table, number, 3);
	destroy(&table);
}

Test(swap_shared, entries_end_with_the_table_or_the_budget)
{
	struct page_word place;
	struct table table;
	u32 numbers[3];
	u64 taken = 0;

	create(&table, GiB, 3);
	for (u32 i = 0; i < 3; i++)
		numbers[i] = add(&table, 1, &place);
	cr_expect_eq(table.budget.used, stats_of(&table).bytes);
	place = store(&table);
	cr_expect_eq(shared_add(table.shared, page_word_payload(place), SALT, 1, &numbers[0]),
		     -ENOSPC);
	zpool_free(table.pool, page_word_payload(place));
	for (u32 i = 0; i < 3; i++)
		drop(&table, i, 1);
	destroy(&table);

	/* All of it: reclaim can take a little beyond what was charged. */
	create(&table, 2 * MiB, 100000);
	budget_charge(&table.budget, 2 * MiB);
	while (budget_take(&table.budget, 64, BUDGET_RECLAIM))
		taken += 64;
	place = store(&table);
	cr_expect_eq(shared_add(table.shared, page_word_payload(place), SALT, 1, &numbers[0]),
		     -ENOSPC);
	zpool_free(table.pool, page_word_payload(place));
	budget_give(&table.budget, 2 * MiB + taken);
	destroy(&table);
}
