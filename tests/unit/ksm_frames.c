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
