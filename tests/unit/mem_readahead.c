/* SPDX-License-Identifier: Apache-2.0 */
/* What is read ahead: pure, so every answer can be asked for. */
#include <criterion/criterion.h>

#include "mem/readahead.h"
#include "tests/unit/mem_rig.h"

#define FAR (1ULL << 24) /* pages */

static struct readahead_window fault(struct readahead *readahead, u64 index)
{
	struct readahead_window window = readahead_fault(readahead, index, 0);

	cr_assert_leq(window.first, index);
	cr_assert_lt(index, window.first + window.count);
	cr_assert_eq(window.first / REGION_PAGES, (window.first + window.count - 1) / REGION_PAGES,
		     "[%lu, +%lu) leaves its region", window.first, window.count);
	return window;
}

/* Reads [first, first + count) in order; a page is faulted when no window has brought it. Returns the
 * number of faults. */
static u64 read_run(struct readahead *readahead, u64 first, u64 count)
{
	u64 faults = 0, at = first;

	while (at < first + count) {
		struct readahead_window window = fault(readahead, at);

		at = window.first + window.count;
		faults++;
	}
	return faults;
}

/* Faults far apart, none of which goes on another. */
static void read_at_random(struct readahead *readahead, u32 faults)
{
	u64 state = 42;

	while (faults--)
		fault(readahead, mem_random(&state) % FAR);
}

Test(mem_readahead, a_window_is_as_long_as_all_before_up_to_a_region)
{
	struct readahead readahead;
	u64 at = 0, before = 0;

	readahead_init(&readahead);
	for (u32 i = 0; i < 16; i++) {
		struct readahead_window window = fault(&readahead, at);

		cr_expect_eq(window.stream, i > 0);
		/* Only a region's end cuts a window. */
		if (at >= GROUP_PAGES && at % REGION_PAGES + MIN(at, REGION_PAGES) <= REGION_PAGES)
			cr_expect_eq(window.count, MIN(at, REGION_PAGES));
		at += before = window.count;
	}
	cr_expect_eq(before, READAHEAD_MAX_PAGES);
}

Test(mem_readahead, a_long_stream_faults_once_a_region)
{
	struct readahead readahead;

	readahead_init(&readahead);
	cr_expect_leq(read_run(&readahead, 0, 64 * REGION_PAGES), 64 + 16);
}

Test(mem_readahead, random_faults_fall_to_single_pages)
{
	struct readahead readahead;
	u64 state = 7, pages = 0;

	readahead_init(&readahead);
	read_at_random(&readahead, 100);
	for (u32 i = 0; i < 100; i++)
		pages += fault(&readahead, mem_random(&state) % FAR).count;
	cr_expect_leq(pages, 110);
}

/* A guest that reads at random, here and there in memory that is sought. */
Test(mem_readahead, what_is_sought_brings_its_group)
{
	struct readahead readahead;
	struct readahead_window window;

	readahead_init(&readahead);
	read_at_random(&readahead, 1000);
	for (u32 i = 1; i < 100; i++) {
		window = readahead_fault(&readahead, FAR + i * 5000 + 3, GROUP_PAGES);
		cr_expect_eq(window.count, GROUP_PAGES);
		cr_expect_eq(window.first, ALIGN_DOWN(FAR + i * 5000 + 3, GROUP_PAGES));
	}
	cr_expect_eq(fault(&readahead, 2 * FAR).count, 1, "what is not sought still comes alone");
	readahead.limit = 4;
	cr_expect_eq(readahead_fault(&readahead, 3 * FAR, GROUP_PAGES).count, 1,
		     "no more than a fault may bring");
}

Test(mem_readahead, a_guest_that_turns_to_reading_in_turn_is_noticed)
{
	struct readahead readahead;

	readahead_init(&readahead);
	read_at_random(&readahead, 1000);
	cr_expect_leq(read_run(&readahead, FAR, 4 * REGION_PAGES), 24);
}

/* One fault a run, and one more for the run in eight that starts with a probe. */
Test(mem_readahead, runs_of_16_come_in_few_faults)
{
	struct readahead readahead;
	u64 state = 9, faults = 0;

	readahead_init(&readahead);
	for (u32 i = 0; i < 200; i++)
		faults += read_run(&readahead, mem_random(&state) % (FAR / 16) * 16, 16);
	cr_expect_leq(faults, 200 + 200 / 4, "%lu faults for 200 runs", faults);
}

Test(mem_readahead, streams_are_told_apart)
{
	struct readahead readahead;
	u64 at[4] = {0, FAR, 2 * FAR, 3 * FAR}, faults = 0;

	readahead_init(&readahead);
	for (u32 turn = 0; turn < 32; turn++) {
		for (u32 i = 0; i < ARRAY_SIZE(at); i++) {
			struct readahead_window window = fault(&readahead, at[i]);

			at[i] = window.first + window.count;
			faults++;
		}
	}
	for (u32 i = 0; i < ARRAY_SIZE(at); i++)
		cr_expect_geq(at[i] - i * FAR, 24 * REGION_PAGES, "stream %u: %lu pages", i,
			      at[i] - i * FAR);
}

Test(mem_readahead, random_faults_do_not_end_a_stream)
{
	struct readahead readahead;
	u64 state = 11, at = 0;

	readahead_init(&readahead);
	read_at_random(&readahead, 50);
	for (u32 i = 0; i < 40; i++) {
		struct readahead_window window = fault(&readahead, at);

		at = window.first + window.count;
		for (u32 j = 0; j < 3; j++)
			fault(&readahead, FAR + mem_random(&state) % FAR);
	}
	cr_expect_geq(at, 16 * REGION_PAGES);
}

Test(mem_readahead, never_leaves_the_region)
{
	struct readahead readahead;
	u64 state = 13, at = 0;

	readahead_init(&readahead);
	for (u32 i = 0; i < 100000; i++) { /* fault() checks */
		struct readahead_window window = fault(&readahead, at);

		at = mem_random(&state) % 3 ? window.first + window.count
					    : mem_random(&state) % FAR;
	}
}

Test(mem_readahead, the_rest_of_a_window_comes_in_growing_pieces)
{
	struct readahead readahead;
	struct readahead_window piece;
	u64 at = 1, first = 0;

	readahead_init(&readahead);
	readahead_defer(&readahead, at, 64);
	while (readahead_take(&readahead, &piece)) {
		cr_expect_eq(piece.first, at);
		first = first ? first : piece.count;
		at += piece.count;
	}
	cr_expect_eq(at, 64);
	cr_expect_lt(first, GROUP_PAGES);
	cr_expect_eq(piece.count, 64 - piece.first);
}

Test(mem_readahead, a_fault_in_what_is_pending_goes_on_from_there)
{
	struct readahead readahead;
	struct readahead_window piece;

	readahead_init(&readahead);
	readahead_defer(&readahead, 100, 200);
	cr_expect_not(readahead_claim(&readahead, 99, &piece));
	cr_expect_not(readahead_claim(&readahead, 200, &piece));
	cr_assert(readahead_claim(&readahead, 150, &piece));
	cr_expect_eq(piece.first, 150);
	cr_assert(readahead_take(&readahead, &piece));
	cr_expect_gt(piece.first, 150);
}

Test(mem_readahead, a_guest_that_catches_up_gets_larger_pieces)
{
	struct readahead readahead;
	struct readahead_window unasked, asked, again;

	readahead_init(&readahead);
	readahead_defer(&readahead, 100, 200);
	cr_assert(readahead_take(&readahead, &unasked));
	readahead_defer(&readahead, 300, 400);
	cr_assert(readahead_claim(&readahead, 300, &asked));
	cr_expect_gt(asked.count, unasked.count);
	cr_assert(readahead_claim(&readahead, 300 + asked.count, &again));
	cr_expect_gt(again.count, asked.count);
}

Test(mem_readahead, what_was_put_off_last_comes_first)
{
	struct readahead readahead;
	struct readahead_window piece;

	readahead_init(&readahead);
	for (u64 i = 0; i < 3 * READAHEAD_PENDING; i++)
		readahead_defer(&readahead, i * FAR, i * FAR + 2);
	for (u64 i = 0; i < READAHEAD_PENDING; i++) {
		cr_assert(readahead_take(&readahead, &piece));
		cr_expect_eq(piece.first, (3 * READAHEAD_PENDING - 1 - i) * FAR);
	}
	cr_expect_not(readahead_take(&readahead, &piece));
}

Test(mem_readahead, no_window_is_longer_than_its_limit)
{
	struct readahead readahead;

	for (u32 limit = 1; limit <= REGION_PAGES; limit *= 2) {
		u64 at = 0;

		readahead_init(&readahead);
		readahead.limit = limit;
		for (u32 i = 0; i < 64; i++) {
			struct readahead_window window = fault(&readahead, at);

			cr_assert_leq(window.first, at);
			cr_assert_gt(window.first + window.count, at);
			cr_assert_leq(window.count, limit);
			at = window.first + window.count;
		}
	}
}
