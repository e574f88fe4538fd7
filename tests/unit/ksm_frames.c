/* SPDX-License-Identifier: Apache-2.0 */
/* The frame store by itself: what leaves its file when references go, one by one or together. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "ksm/frames.h"
#include "mem/memory.h"

#define CAPACITY 64U
#define COUNT	 16U

struct store {
	struct memory memory;
	struct frames *frames;
	u32 index[COUNT];
	u64 empty; /* what the budget has given when there is no frame */
};

static void start(struct store *store)
{
	struct frames_options options = {
		.memory = &store->memory, .capacity = CAPACITY, .max_sharing = 8};
	u8 page[PAGE_SIZE];

	memory_init(&store->memory, 16 * MiB);
	cr_assert_eq(frames_create(&options, &store->frames), 0);
	store->empty = budget_free(&store->memory.budget);
	for (u32 i = 0; i < COUNT; i++) {
		memset(page, (int)i + 1, sizeof(page));
		cr_assert_eq(frames_add(store->frames, i + 1, page, &store->index[i]), 0);
		cr_assert_eq(store->index[i], store->index[0] + i);
	}
}

static void stop(struct store *store)
{
	cr_expect_eq(budget_free(&store->memory.budget), store->empty);
	frames_destroy(store->frames);
	memory_destroy(&store->memory);
}

static u64 in_file(const struct store *store)
{
	struct stat stat;

	cr_assert_eq(fstat(frames_fd(store->frames), &stat), 0);
	return (u64)stat.st_blocks * 512 / PAGE_SIZE;
}

/* Whether the content of frame i is still what it was. */
static bool is_there(struct store *store, u32 i)
{
	u8 page[PAGE_SIZE], wanted[PAGE_SIZE];

	memset(wanted, (int)i + 1, sizeof(wanted));
	return !frames_read(store->frames, store->index[i], page) &&
	       !memcmp(page, wanted, PAGE_SIZE);
}

Test(ksm_frames, those_that_nobody_has_leave_together)
{
	struct store store;

	start(&store);
	frames_put(store.frames, store.index[0], COUNT);
	cr_expect_eq(in_file(&store), 0);
	stop(&store);
}

Test(ksm_frames, those_that_somebody_has_stay)
{
	struct frames_stats stats;
	struct store store;
	u8 page[PAGE_SIZE];
	u32 found;

	start(&store);
	memset(page, 5, sizeof(page));
	cr_assert_eq(frames_find(store.frames, 5, page, &found), 0);
	cr_assert_eq(found, store.index[4]);
	frames_hold(store.frames, store.index[9], 2);
	frames_put(store.frames, store.index[0], COUNT);
	cr_expect_eq(in_file(&store), 3);
	cr_expect(is_there(&store, 4));
	cr_expect(is_there(&store, 9));
	cr_expect(is_there(&store, 10));
	frames_release(store.frames, store.index[9], 2);
	cr_expect_eq(in_file(&store), 1);
	frames_stats(store.frames, &stats);
	cr_expect_eq(stats.frames, 1);
	cr_expect_eq(stats.references, 1);
	frames_put(store.frames, store.index[4], 1);
	cr_expect_eq(in_file(&store), 0);
	stop(&store);
}

Test(ksm_frames, what_has_left_is_not_found_and_its_place_is_used_again)
{
	struct store store;
	u8 page[PAGE_SIZE];
	u32 found, again;

	start(&store);
	frames_put(store.frames, store.index[3], 5);
	memset(page, 6, sizeof(page));
	cr_expect_neq(frames_find(store.frames, 6, page, &found), 0);
	cr_expect_eq(frames_know(store.frames, (const u64[]){3, 6, 9}, 7), 5);
	for (u32 i = 0; i < CAPACITY - COUNT + 5; i++) {
		memset(page, (int)(100 + i), sizeof(page));
		cr_assert_eq(frames_add(store.frames, 100 + i, page, &again), 0);
		cr_assert(again < store.index[0] || again >= store.index[0] + COUNT ||
			  (again >= store.index[3] && again < store.index[8]));
	}
	cr_expect_neq(frames_add(store.frames, 99, page, &again), 0);
	cr_expect_eq(in_file(&store), CAPACITY);
	cr_expect(is_there(&store, 2));
	cr_expect(is_there(&store, 8));
	frames_put(store.frames, 0, CAPACITY);
	cr_expect_eq(in_file(&store), 0);
	stop(&store);
}

/* Pages for a sheet: page i is filled with i + 1, as frame i is, if it is one of the first COUNT. */
struct pages {
	u8 plain[32 * PAGE_SIZE];
	u64 hashes[32];
	struct frames_part part;
};

static void start_with_pages(struct store *store, struct pages *pages)
{
	start(store);
	for (u32 i = 0; i < 32; i++) {
		memset(pages->plain + i * PAGE_SIZE, (int)i + 1, PAGE_SIZE);
		pages->hashes[i] = i + 1;
	}
	pages->part = (struct frames_part){store->index[0], pages->plain, pages->hashes};
}

static void put_all(struct store *store, u32 pages)
{
	for (u32 i = 0; i < 32; i++)
		if (pages >> i & 1)
			frames_put(store->frames, store->index[0] + i, 1);
}

static void stop_full(struct store *store)
{
	frames_put(store->frames, store->index[0], COUNT);
	stop(store);
}

Test(ksm_frames, a_part_of_a_sheet_finds_its_frames_and_makes_others)
{
	static struct pages pages;
	struct store store;
	u8 page[PAGE_SIZE];

	start_with_pages(&store, &pages);
	cr_expect_eq(frames_share(store.frames, &pages.part, 0x0fff5055, 0x05f0f0f0), 0x05f05055);
	cr_expect_eq(frames_references(store.frames, store.index[0]), 2);
	cr_expect_eq(frames_references(store.frames, store.index[0] + 1), 1);
	cr_expect_eq(in_file(&store), COUNT + 6);
	cr_expect_eq(frames_read(store.frames, store.index[0] + 26, page), 0);
	cr_expect_eq(page[0], 27);
	put_all(&store, 0x05f05055);
	cr_expect_eq(in_file(&store), COUNT);
	stop_full(&store);
}

Test(ksm_frames, a_part_of_a_sheet_has_no_page_whose_place_another_has)
{
	static struct pages pages;
	struct frames_stats stats;
	struct store store;

	start_with_pages(&store, &pages);
	pages.plain[3 * PAGE_SIZE + 77]++; /* like its frame by its hash alone */
	pages.hashes[5] = 99;
	cr_expect_eq(frames_share(store.frames, &pages.part, 0xff, 0xff), 0xd7);
	frames_stats(store.frames, &stats);
	cr_expect_eq(stats.collisions, 1);
	cr_expect_eq(stats.frames, COUNT);
	put_all(&store, 0xd7);
	stop_full(&store);
}

Test(ksm_frames, a_part_of_a_sheet_stops_at_max_sharing)
{
	static struct pages pages;
	struct store store;

	start_with_pages(&store, &pages);
	frames_set_max_sharing(store.frames, 2);
	cr_expect_eq(frames_share(store.frames, &pages.part, 3, 0), 3);
	cr_expect_eq(frames_share(store.frames, &pages.part, 7, 7), 4);
	put_all(&store, 7);
	stop_full(&store);
}

Test(ksm_frames, without_memory_a_part_of_a_sheet_finds_and_makes_nothing)
{
	static struct pages pages;
	struct store store;
	u64 taken;

	start_with_pages(&store, &pages);
	taken = budget_free(&store.memory.budget);
	budget_charge(&store.memory.budget, taken);
	cr_expect_eq(frames_share(store.frames, &pages.part, UINT32_MAX, UINT32_MAX), 0xffff);
	cr_expect_eq(in_file(&store), COUNT);
	budget_give(&store.memory.budget, taken);
	put_all(&store, 0xffff);
	stop_full(&store);
}
