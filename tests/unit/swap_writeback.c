/* SPDX-License-Identifier: Apache-2.0 */
/* Write-back and the cleaner: pages move between stores, and no guest can tell. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "swap/swapfile.h"
#include "swap_rig.h"

#define PAGES 4096U

static void evict_all(struct rig *rig, u32 pages)
{
	for (u32 i = 0; i < pages; i++) {
		rig->content[i] = i * 2;
		cr_assert_eq(rig_evict(rig, i), 0);
	}
}

static void fetch_all(struct rig *rig, u32 pages)
{
	for (u32 i = 0; i < pages; i++)
		cr_assert_eq(rig_fetch(rig, i), 0);
}

static s64 scan(struct rig *rig, u64 bytes)
{
	return rig->writeback->ops->scan(rig->writeback, bytes);
}

Test(swap_writeback, empties_the_pool_and_every_page_comes_back)
{
	struct swap_stats stats;
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	evict_all(&rig, PAGES);
	cr_expect(scan(&rig, GiB) > 0);
	swap_stats(rig.swap, &stats);
	cr_expect_eq(stats.pool_pages, 0);
	cr_expect_eq(stats.pool_bytes, 0);
	cr_expect_eq(stats.disk_pages, PAGES);
	/* Still compressed, and packed: little more than the blobs. */
	cr_expect(stats.written_bytes < stats.disk_blob_bytes / 100 * 104);
	fetch_all(&rig, PAGES);
	rig_destroy(&rig);
}

Test(swap_writeback, frees_about_what_it_is_asked_for)
{
	struct swap_stats before, after;
	struct rig rig;
	s64 freed;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	evict_all(&rig, PAGES);
	swap_stats(rig.swap, &before);
	freed = scan(&rig, MiB);
	swap_stats(rig.swap, &after);
	cr_expect(freed >= (s64)MiB / 10 * 9 && freed < 2 * (s64)MiB, "%ld", freed);
	cr_expect(before.pool_bytes - after.pool_bytes >= MiB / 2);
	rig_destroy(&rig);
}

/* Evicts pages until the pool has no room. Returns how many it took. */
static u32 fill_pool(struct rig *rig)
{
	u32 index = 0;

	for (;; index++) {
		cr_assert_lt(index, PAGES);
		rig->content[index] = index * 2;
		if (rig_evict(rig, index))
			return index;
	}
}

static enum page_state evicted_to(struct rig *rig, u32 index)
{
	rig->content[index] = index * 2;
	cr_assert_eq(rig_evict(rig, index), 0);
	return page_word_state(rig_word(rig, index));
}

static u64 due(struct rig *rig)
{
	return rig->writeback->ops->due(rig->writeback);
}

Test(swap_writeback, a_pool_that_was_full_takes_pages_again_below_its_threshold)
{
	struct swap_stats stats;
	struct rig rig;
	u32 next;

	rig_create(&rig, PAGES, 4 * MiB, 64 * MiB, NULL);
	cr_assert_eq(swap_set_accept(rig.swap, 50), 0);
	cr_expect_eq(due(&rig), 0);
	next = fill_pool(&rig);
	cr_expect_eq(due(&rig), 2 * MiB);
	cr_expect_eq(evicted_to(&rig, next++), PAGE_DISK);
	cr_expect(scan(&rig, MiB) > 0);
	cr_expect(due(&rig) > 0);
	cr_expect_eq(evicted_to(&rig, next++), PAGE_DISK);
	while (due(&rig))
		cr_assert(scan(&rig, due(&rig)) > 0);
	swap_stats(rig.swap, &stats);
	cr_expect_leq(stats.pool_bytes, 2 * MiB);
	cr_expect_eq(stats.reject_recovering, 2);
	/* Up to the limit once more. */
	while (evicted_to(&rig, next) == PAGE_COMPRESSED && stats.pool_bytes < 3 * MiB) {
		next++;
		swap_stats(rig.swap, &stats);
	}
	cr_expect_geq(stats.pool_bytes, 3 * MiB);
	fetch_all(&rig, next);
	rig_destroy(&rig);
}

Test(swap_writeback, without_a_threshold_room_is_used_as_it_is_made)
{
	struct rig rig;
	u32 next;

	rig_create(&rig, PAGES, 4 * MiB, 64 * MiB, NULL);
	next = fill_pool(&rig);
	cr_expect_eq(due(&rig), 0);
	cr_expect(scan(&rig, 256 * KiB) > 0);
	cr_expect_eq(evicted_to(&rig, next), PAGE_COMPRESSED);
	rig_destroy(&rig);
}

Test(swap_writeback, a_threshold_gives_way_when_the_file_is_full)
{
	struct rig rig;
	u32 next;

	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&rig, PAGES, 4 * MiB, 2 * MiB, NULL);
	cr_assert_eq(swap_set_accept(rig.swap, 10), 0);
	next = fill_pool(&rig);
	while (due(&rig) && scan(&rig, GiB) > 0)
		;
	cr_expect_eq(due(&rig), 0);
	cr_expect_eq(evicted_to(&rig, next), PAGE_COMPRESSED);
	rig_destroy(&rig);
}

Test(swap_writeback, without_a_file_there_is_no_threshold)
{
	struct rig rig;

	rig_create(&rig, 16, MiB, 0, NULL);
	cr_expect_eq(swap_set_accept(rig.swap, 90), -ENOTSUP);
	cr_expect_eq(swap_set_accept(rig.swap, 100), 0);
	rig_destroy(&rig);
}

Test(swap_writeback, takes_the_coldest_with_their_group)
{
	u64 last = 0;
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	evict_all(&rig, PAGES);
	cr_expect(scan(&rig, 256 * KiB) > 0);
	cr_expect_eq(page_word_state(rig_word(&rig, 0)), PAGE_DISK);
	cr_expect_eq(page_word_state(rig_word(&rig, PAGES - 1)), PAGE_COMPRESSED);
	for (u32 i = 0; i < 16; i++) {
		struct page_word word = rig_word(&rig, i);
		u64 offset = place_offset(page_word_payload(word));

		cr_assert_eq(page_word_state(word), PAGE_DISK);
		cr_expect(!i || (offset > last && offset - last <= PAGE_SIZE + 32));
		last = offset;
	}
	rig_destroy(&rig);
}

Test(swap_writeback, a_held_page_stays)
{
	struct page_word word;
	struct rig rig;

	rig_create(&rig, 256, 64 * MiB, 64 * MiB, NULL);
	evict_all(&rig, 256);
	cr_assert(rig_hold(&rig, 7));
	cr_expect(scan(&rig, GiB) > 0);
	word = rig_word(&rig, 7);
	cr_expect_eq(page_word_state(word), PAGE_COMPRESSED);
	cr_expect_eq(rig_load(&rig, 7, word), 0);
	word.bits &= ~PAGE_BUSY;
	rig_release(&rig, 7, word);
	rig_destroy(&rig);
}

Test(swap_writeback, a_full_file_is_an_error_and_costs_nothing)
{
	struct swap_stats stats;
	struct rig rig;
	s64 freed, result = 1;

	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&rig, PAGES, 64 * MiB, 2 * MiB, NULL);
	evict_all(&rig, PAGES);
	freed = scan(&rig, GiB);
	cr_expect(freed > 0 && freed <= 2 * (s64)MiB);
	for (u32 i = 0; i < 4 && result >= 0; i++)
		result = scan(&rig, GiB);
	cr_expect_eq(result, -ENOSPC);
	cr_expect_eq(rig.writeback->ops->count(rig.writeback), 0);
	swap_stats(rig.swap, &stats);
	cr_expect(stats.swap_full > 0);
	cr_expect_eq(stats.pool_pages + stats.disk_pages, PAGES);
	fetch_all(&rig, PAGES);
	rig_destroy(&rig);
}

static s32 fail_writes(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		       u32 length, s32 result)
{
	(void)inject;
	(void)offset;
	(void)buffer;
	(void)length;
	return op == SWAP_IO_WRITE ? -EIO : result;
}

Test(swap_writeback, a_write_error_leaves_pages_in_the_pool)
{
	struct swap_inject inject = {.after = fail_writes};
	struct swap_stats stats;
	struct rig rig;

	rig_create(&rig, 256, 64 * MiB, 64 * MiB, &inject);
	evict_all(&rig, 256);
	cr_expect_eq(scan(&rig, GiB), -EIO);
	swap_stats(rig.swap, &stats);
	cr_expect_eq(stats.pool_pages, 256);
	cr_expect_eq(stats.disk_pages, 0);
	fetch_all(&rig, 256);
	rig_destroy(&rig);
}

static s32 fail_some_writes(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
			    u32 length, s32 result)
{
	(void)inject;
	(void)buffer;
	(void)length;
	return op == SWAP_IO_WRITE && offset / EXTENT_BYTES % 3 == 0 ? -ENOSPC : result;
}

Test(swap_writeback, writes_that_fail_now_and_then_lose_nothing)
{
	struct swap_inject inject = {.after = fail_some_writes};
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, &inject);
	evict_all(&rig, PAGES);
	for (u32 i = 0; i < 8; i++)
		scan(&rig, 2 * MiB);
	fetch_all(&rig, PAGES);
	rig_destroy(&rig);
}

/* Three quarters of the file alive, scattered over all of it: without the cleaner, nothing fits. */
Test(swap_writeback, the_cleaner_makes_room_under_churn)
{
	struct swap_stats stats;
	struct rig rig;
	u32 pages = 3072;

	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&rig, pages, 64 * MiB, 10 * MiB, NULL);
	evict_all(&rig, pages);
	cr_assert(scan(&rig, GiB) > 0);
	for (u32 round = 0; round < 24; round++) {
		for (u32 i = round % 8; i < pages; i += 8) {
			cr_assert_eq(rig_fetch(&rig, i), 0);
			rig.content[i] += 2 * pages;
			cr_assert_eq(rig_evict(&rig, i), 0);
		}
		scan(&rig, GiB);
	}
	swap_stats(rig.swap, &stats);
	cr_expect(stats.cleaned_extents > 0);
	cr_expect(stats.disk_pages > pages / 10 * 9, "%lu of %u on disk", stats.disk_pages, pages);
	fetch_all(&rig, pages);
	rig_destroy(&rig);
}
