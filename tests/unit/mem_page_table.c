/* SPDX-License-Identifier: Apache-2.0 */
/* Page descriptors: which transitions are legal, what the counters say, who is told to wake. */
#include <criterion/criterion.h>
#include <signal.h>

#include "mem/page_table.h"

/* Runs a page through a state to another. */
static void move(enum page_state from, enum page_state to)
{
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 4), 0);
	page_hold(&table, 1);
	/* Whatever the state, a way there: by RESIDENT. */
	if (from != PAGE_ZERO)
		page_set(&table, 1, page_word(PAGE_RESIDENT, 0));
	if (from != PAGE_ZERO && from != PAGE_RESIDENT)
		page_set(&table, 1, page_word(from, 7));
	page_set(&table, 1, page_word(to, 9));
	page_release(&table, 1);
	cr_expect_eq(page_word_state(page_table_read(&table, 1)), to);
	cr_expect_eq(page_word_payload(page_table_read(&table, 1)), 9);
	page_table_destroy(&table);
}

Test(mem_page_table, starts_all_zero)
{
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 1000), 0);
	cr_expect_eq(page_table_bytes(&table), 8000);
	cr_expect_eq(page_table_count(&table, PAGE_ZERO), 1000);
	cr_expect_eq(page_table_read(&table, 999).bits, 0);
	page_table_destroy(&table);
}

Test(mem_page_table, every_state_comes_back_resident)
{
	for (enum page_state state = 0; state < PAGE_STATES; state++) {
		if (state != PAGE_RESIDENT)
			move(state, PAGE_RESIDENT);
	}
}

Test(mem_page_table, a_resident_page_may_go_anywhere)
{
	for (enum page_state state = 0; state < PAGE_STATES; state++) {
		if (state != PAGE_RESIDENT)
			move(PAGE_RESIDENT, state);
	}
}

Test(mem_page_table, a_store_may_move_what_it_holds)
{
	move(PAGE_COMPRESSED, PAGE_COMPRESSED);
	move(PAGE_COMPRESSED, PAGE_DISK);
	move(PAGE_DISK, PAGE_DISK);
}

/* Illegal moves end the process: a page in the wrong state is a page lost. */
Test(mem_page_table, void_content_is_never_stored, .signal = SIGABRT)
{
	move(PAGE_ZERO, PAGE_DISK);
}

Test(mem_page_table, a_balloon_page_is_never_stored, .signal = SIGABRT)
{
	move(PAGE_BALLOONED, PAGE_COMPRESSED);
}

Test(mem_page_table, the_disk_does_not_fall_back_into_the_pool, .signal = SIGABRT)
{
	move(PAGE_DISK, PAGE_COMPRESSED);
}

Test(mem_page_table, nobody_holds_a_page_twice, .signal = SIGABRT)
{
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 1), 0);
	page_hold(&table, 0);
	page_hold(&table, 0);
}

Test(mem_page_table, nobody_sets_a_page_not_held, .signal = SIGABRT)
{
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 1), 0);
	page_set(&table, 0, page_word(PAGE_RESIDENT, 0));
}

Test(mem_page_table, counters_follow)
{
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 10), 0);
	for (u64 i = 0; i < 6; i++) {
		page_hold(&table, i);
		page_set(&table, i, page_word(PAGE_RESIDENT, 0));
		if (i % 2)
			page_set(&table, i, page_word(PAGE_SAME, i));
		page_release(&table, i);
	}
	cr_expect_eq(page_table_count(&table, PAGE_ZERO), 4);
	cr_expect_eq(page_table_count(&table, PAGE_RESIDENT), 3);
	cr_expect_eq(page_table_count(&table, PAGE_SAME), 3);
	page_table_destroy(&table);
}

/* A page that only changes its place in a store has gone nowhere. */
Test(mem_page_table, ways_of_pages_are_counted)
{
	static const enum page_state walk[] = {PAGE_RESIDENT,	PAGE_COMPRESSED, PAGE_COMPRESSED,
					       PAGE_RESIDENT,	PAGE_DISK,	 PAGE_RESIDENT,
					       PAGE_COMPRESSED, PAGE_DISK,	 PAGE_DISK};
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 4), 0);
	page_hold(&table, 1);
	for (u32 i = 0; i < ARRAY_SIZE(walk); i++) {
		page_set(&table, 1, page_word(walk[i], i));
		page_release(&table, 1);
		page_hold(&table, 1);
	}
	cr_expect_eq(page_table_flow(&table, PAGE_FLOW_ZIP), 2);
	cr_expect_eq(page_table_flow(&table, PAGE_FLOW_UNZIP), 1);
	cr_expect_eq(page_table_flow(&table, PAGE_FLOW_SWAP_OUT), 2);
	cr_expect_eq(page_table_flow(&table, PAGE_FLOW_SWAP_IN), 1);
	page_release(&table, 1);
	page_table_destroy(&table);
}

Test(mem_page_table, release_tells_of_a_waiter_once)
{
	struct page_table table;

	cr_assert_eq(page_table_create(&table, 1), 0);
	page_hold(&table, 0);
	cr_expect_not(page_word_waiter(page_table_read(&table, 0)));
	page_wait(&table, 0);
	page_wait(&table, 0);
	/* A new state does not forget who waits. */
	page_set(&table, 0, page_word(PAGE_RESIDENT, 0));
	cr_expect(page_word_waiter(page_table_read(&table, 0)));
	cr_expect(page_release(&table, 0));
	page_hold(&table, 0);
	cr_expect_not(page_release(&table, 0));
	page_table_destroy(&table);
}

Test(mem_page_table, payloads_keep_their_52_bits)
{
	u64 payload = (1ULL << PAGE_PAYLOAD_BITS) - 1;
	struct page_word word = page_word(PAGE_DISK, payload);

	cr_expect_eq(page_word_payload(word), payload);
	cr_expect_eq(page_word_state(word), PAGE_DISK);
	cr_expect_not(page_word_busy(word));
}

Test(mem_page_table, sameness_ignores_who_holds_it)
{
	struct page_word word = page_word(PAGE_DISK, 5), busy = word;

	busy.bits |= PAGE_BUSY | PAGE_WAITER;
	cr_expect(page_word_same(word, busy));
	cr_expect_not(page_word_same(word, page_word(PAGE_DISK, 6)));
	cr_expect_not(page_word_same(word, page_word(PAGE_COMPRESSED, 5)));
}
