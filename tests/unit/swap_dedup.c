/* SPDX-License-Identifier: Apache-2.0 */
/* Cold duplicates: one blob for many pages, from the store to the last load. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "swap/compressed.h"
#include "swap/dedup.h"
#include "swap/shared.h"
#include "swap/swapfile.h"
#include "swap/zpool.h"
#include "swap_rig.h"

#define PAGES 512U
#define TWIN  6U /* content that several pages have; CONTENT_TEXT */

static struct swap_stats stats_of(struct rig *rig)
{
	struct swap_stats stats;

	swap_stats(rig->swap, &stats);
	return stats;
}

static void evict(struct rig *rig, u32 index, u64 content)
{
	rig->content[index] = content;
	cr_assert_eq(rig_evict(rig, index), 0);
}

/* Pages [0, count) with content that repeats after `distinct` pages. */
static void evict_twins(struct rig *rig, u32 count, u32 distinct)
{
	for (u32 i = 0; i < count; i++)
		evict(rig, i, i % distinct * 2);
}

static void fetch_all(struct rig *rig, u32 count)
{
	for (u32 i = 0; i < count; i++)
		cr_assert_eq(rig_fetch(rig, i), 0, "page %u", i);
}

static s64 write_back(struct rig *rig)
{
	s64 first = rig->writeback->ops->scan(rig->writeback, GiB);

	/* What was wanted a moment ago has a second chance. */
	return first < 0 ? first : first + rig->writeback->ops->scan(rig->writeback, GiB);
}

static bool is_shared(struct rig *rig, u32 index)
{
	struct page_word word = rig_word(rig, index);

	return page_word_state(word) == PAGE_COMPRESSED &&
	       payload_is_shared(page_word_payload(word));
}

/* References and entries as a walk of the descriptors finds them. */
static void counters_agree(struct rig *rig)
{
	struct swap_stats stats = stats_of(rig);
	u64 pages = 0, blobs = 0;

	for (u32 i = 0; i < rig->space->table.pages; i++) {
		bool first = is_shared(rig, i);

		pages += first;
		for (u32 j = 0; j < i && first; j++)
			first = !page_word_same(rig_word(rig, i), rig_word(rig, j));
		blobs += first;
	}
	cr_expect_eq(stats.shared_pages, pages);
	cr_expect_eq(stats.shared_blobs, blobs);
}

Test(swap_dedup, a_twin_takes_no_space_and_both_come_back)
{
	struct swap_stats stats;
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	evict(&rig, 0, TWIN);
	cr_expect_not(is_shared(&rig, 0));
	evict(&rig, 1, TWIN);
	stats = stats_of(&rig);
	cr_expect_eq(stats.pool_pages, 1);
	cr_expect_eq(stats.dedup_hits, 1);
	cr_expect_eq(stats.stored_pages, 2);
	cr_expect_eq(stats.shared_saved_bytes, stats.pool_blob_bytes + sizeof(struct blob));
	cr_expect(is_shared(&rig, 0) && is_shared(&rig, 1));
	counters_agree(&rig);

	cr_expect_eq(rig_fetch(&rig, 0), 0);
	cr_expect_eq(stats_of(&rig).pool_pages, 1);
	cr_expect_eq(stats_of(&rig).shared_saved_bytes, 0);
	cr_expect_eq(rig_fetch(&rig, 1), 0);
	cr_expect_eq(stats_of(&rig).pool_pages, 0);
	rig_destroy(&rig);
}

Test(swap_dedup, a_content_of_many_pages_is_one_blob)
{
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	evict_twins(&rig, PAGES, 4);
	cr_expect_eq(stats_of(&rig).pool_pages, 4);
	cr_expect_eq(stats_of(&rig).shared_pages, PAGES);
	cr_expect_eq(stats_of(&rig).dedup_hits, PAGES - 4);
	counters_agree(&rig);
	fetch_all(&rig, PAGES);
	rig_destroy(&rig);
}

/* Its own old hint must not make a page that comes and goes look like a twin of itself. */
Test(swap_dedup, a_page_is_no_twin_of_itself)
{
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	for (u32 i = 0; i < 8; i++) {
		evict(&rig, 0, TWIN);
		cr_expect_not(is_shared(&rig, 0));
		cr_assert_eq(rig_fetch(&rig, 0), 0);
	}
	cr_expect_eq(stats_of(&rig).dedup_hits, 0);
	rig_destroy(&rig);
}

Test(swap_dedup, a_hint_that_is_out_of_date_costs_nothing)
{
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	evict(&rig, 0, TWIN);
	cr_assert_eq(rig_fetch(&rig, 0), 0);
	evict(&rig, 0, TWIN + 2); /* the hint for TWIN still names page 0 */
	evict(&rig, 1, TWIN);
	cr_expect_eq(stats_of(&rig).dedup_hits, 0);
	cr_expect_eq(stats_of(&rig).pool_pages, 2);
	evict(&rig, 2, TWIN);
	cr_expect_eq(stats_of(&rig).dedup_hits, 1);
	fetch_all(&rig, 3);
	/* ... and one to an entry that is gone, or another's. */
	evict(&rig, 0, TWIN + 2);
	evict(&rig, 1, TWIN + 2);
	evict(&rig, 2, TWIN);
	cr_expect_eq(stats_of(&rig).dedup_hits, 2);
	fetch_all(&rig, 3);
	rig_destroy(&rig);
}

/* Pages that leave together: their first cannot be looked at before all are done. */
Test(swap_dedup, a_twin_that_is_busy_makes_the_next_the_shared_one)
{
	struct rig rig;
	struct page_word word;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	evict(&rig, 0, TWIN);
	cr_assert(rig_hold(&rig, 0));
	evict(&rig, 1, TWIN);
	evict(&rig, 2, TWIN);
	word = rig_word(&rig, 0);
	word.bits &= ~PAGE_BUSY;
	rig_release(&rig, 0, word);
	cr_expect_not(is_shared(&rig, 0));
	cr_expect(is_shared(&rig, 1) && is_shared(&rig, 2));
	cr_expect_eq(stats_of(&rig).pool_pages, 2);
	counters_agree(&rig);
	fetch_all(&rig, 3);
	rig_destroy(&rig);
}

/* Pages that read other than what they were stored as. */
static u32 count_wrong(struct rig *rig, u32 count)
{
	u8 page[PAGE_SIZE], expected[PAGE_SIZE];
	u32 wrong = 0;

	for (u32 i = 0; i < count; i++) {
		struct page_word word = rig_word(rig, i);
		u64 payload = page_word_payload(word);
		int result;

		rig_load_many(rig, rig->memory.sources[page_word_state(word)], &payload, 1, page,
			      &result);
		page_fill(expected, rig->content[i]);
		wrong += result || memcmp(page, expected, PAGE_SIZE);
	}
	return wrong;
}

Test(swap_dedup, colliding_hashes_are_told_apart)
{
	struct rig rig;

	dedup_test_hash_mask = 0xf;
	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	for (u32 i = 0; i < PAGES; i++)
		evict(&rig, i, i / 2 * 2);
	cr_expect(stats_of(&rig).hash_collisions > PAGES / 4);
	cr_expect(stats_of(&rig).dedup_hits > PAGES / 4);
	counters_agree(&rig);
	cr_expect_eq(count_wrong(&rig, PAGES), 0);
	cr_expect(write_back(&rig) > 0);
	cr_expect_eq(count_wrong(&rig, PAGES), 0);
	dedup_test_hash_mask = ~0ULL;
	rig_destroy(&rig);
}

/* What the comparison is for. */
Test(swap_dedup, without_comparison_colliding_pages_are_mixed_up)
{
	struct rig rig;

	dedup_test_hash_mask = 0xf;
	dedup_test_skip_compare = true;
	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	for (u32 i = 0; i < PAGES; i++)
		evict(&rig, i, i * 2);
	cr_expect(count_wrong(&rig, PAGES) > 0);
	dedup_test_hash_mask = ~0ULL;
	dedup_test_skip_compare = false;
	rig_destroy(&rig);
}

Test(swap_dedup, write_back_takes_a_blob_with_all_its_pages)
{
	struct swap_stats stats;
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	evict_twins(&rig, PAGES, 8);
	cr_expect(write_back(&rig) > 0);
	stats = stats_of(&rig);
	cr_expect_eq(stats.pool_pages, 0);
	cr_expect_eq(stats.disk_pages, 8);
	cr_expect_eq(stats.shared_disk_pages, PAGES);
	cr_expect(stats.written_bytes < 8 * PAGE_SIZE);
	counters_agree(&rig);
	fetch_all(&rig, PAGES);
	cr_expect_eq(stats_of(&rig).shared_disk_pages, 0);
	rig_destroy(&rig);
}

Test(swap_dedup, one_load_mixes_pages_of_pool_and_file)
{
	u8 pages[8 * PAGE_SIZE], expected[PAGE_SIZE];
	struct rig rig;
	int results[8];
	u64 payloads[8];

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	evict_twins(&rig, 8, 2);
	cr_expect(write_back(&rig) > 0);
	for (u32 i = 0; i < 4; i++) {
		cr_assert_eq(rig_fetch(&rig, i), 0);
		evict(&rig, i, 100 + i / 2 * 2);
	}
	for (u32 i = 0; i < 8; i++)
		payloads[i] = page_word_payload(rig_word(&rig, i));
	cr_expect_eq(rig_load_many(&rig, rig.compressed, payloads, 8, pages, results),
		     -EINPROGRESS);
	for (u32 i = 0; i < 8; i++) {
		cr_expect_eq(results[i], 0);
		page_fill(expected, rig.content[i]);
		cr_expect(!memcmp(pages + i * PAGE_SIZE, expected, PAGE_SIZE), "page %u", i);
	}
	rig_destroy(&rig);
}

Test(swap_dedup, content_that_is_wanted_stays_in_the_pool_for_a_turn)
{
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, NULL);
	evict_twins(&rig, 8, 2);
	evict(&rig, 8, 100);
	cr_expect(rig.writeback->ops->scan(rig.writeback, GiB) > 0);
	cr_expect_eq(stats_of(&rig).pool_pages, 2);
	cr_expect_eq(stats_of(&rig).disk_pages, 1);
	cr_expect(rig.writeback->ops->scan(rig.writeback, GiB) > 0);
	cr_expect_eq(stats_of(&rig).pool_pages, 0);
	fetch_all(&rig, 9);
	rig_destroy(&rig);
}

/* One page of content in each slab or so: what is left moves together. */
Test(swap_dedup, compaction_moves_shared_blobs)
{
	struct rig rig;
	u64 before;

	rig_create(&rig, 2 * PAGES, 64 * MiB, 0, NULL);
	evict_twins(&rig, 2 * PAGES, PAGES);
	for (u32 i = 0; i < 2 * PAGES; i++)
		if (i % PAGES % 8)
			cr_assert_eq(rig_fetch(&rig, i), 0);
	before = stats_of(&rig).pool_bytes;
	cr_expect(rig.writeback->ops->scan(rig.writeback, GiB) > 0);
	cr_expect(stats_of(&rig).pool_bytes < before / 2);
	counters_agree(&rig);
	for (u32 i = 0; i < 2 * PAGES; i += 8)
		cr_assert_eq(rig_fetch(&rig, i), 0);
	rig_destroy(&rig);
}

Test(swap_dedup, the_cleaner_moves_shared_blobs)
{
	struct rig rig;
	u32 pages = 3072;

	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&rig, 2 * pages, 64 * MiB, 10 * MiB, NULL);
	evict_twins(&rig, 2 * pages, pages);
	cr_assert(write_back(&rig) > 0);
	for (u32 round = 0; round < 24; round++) {
		for (u32 i = round % 8; i < 2 * pages; i += 8) {
			cr_assert_eq(rig_fetch(&rig, i), 0);
			evict(&rig, i, rig.content[i] + 2 * pages);
		}
		write_back(&rig);
	}
	cr_expect(stats_of(&rig).cleaned_extents > 0);
	counters_agree(&rig);
	fetch_all(&rig, 2 * pages);
	rig_destroy(&rig);
}

/* Fails transfers of one kind while it is told to. */
struct failing {
	struct swap_inject inject;
	enum swap_io op;
	bool fails;
};

static s32 fail(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer, u32 length,
		s32 result)
{
	const struct failing *failing = container_of(inject, struct failing, inject);

	(void)offset;
	(void)buffer;
	(void)length;
	return failing->fails && op == failing->op ? -EIO : result;
}

Test(swap_dedup, a_write_error_leaves_shared_blobs_in_the_pool)
{
	struct failing failing = {.inject = {.after = fail}, .op = SWAP_IO_WRITE, .fails = true};
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, &failing.inject);
	evict_twins(&rig, PAGES, 8);
	cr_expect_eq(rig.writeback->ops->scan(rig.writeback, GiB), 0);
	cr_expect_eq(rig.writeback->ops->scan(rig.writeback, GiB), -EIO);
	cr_expect_eq(stats_of(&rig).pool_pages, 8);
	cr_expect_eq(stats_of(&rig).shared_disk_pages, 0);
	fetch_all(&rig, PAGES);
	rig_destroy(&rig);
}

Test(swap_dedup, a_blob_that_cannot_be_read_is_lost_to_each_of_its_pages_and_no_others)
{
	struct failing failing = {.inject = {.after = fail}, .op = SWAP_IO_READ};
	struct rig rig;

	rig_create(&rig, PAGES, 64 * MiB, 64 * MiB, &failing.inject);
	evict_twins(&rig, 4, 1);
	cr_expect(write_back(&rig) > 0);
	evict(&rig, 4, 100);
	evict(&rig, 5, 100);
	failing.fails = true;
	for (u32 i = 0; i < 4; i++)
		cr_expect_eq(rig_fetch(&rig, i), -EIO);
	cr_expect_eq(rig_fetch(&rig, 4), 0);
	cr_expect_eq(rig_fetch(&rig, 5), 0);
	failing.fails = false;
	fetch_all(&rig, 4);
	rig_destroy(&rig);
}

/* Damage in the pool: found by each of its pages, and not handed on to another. */
Test(swap_dedup, a_damaged_blob_is_found_and_gets_no_more_pages)
{
	const struct zpool *pool;
	struct rig rig;
	u64 payload;
	u8 *bytes;

	rig_create(&rig, PAGES, 64 * MiB, 0, NULL);
	evict(&rig, 0, TWIN);
	payload = page_word_payload(rig_word(&rig, 0));
	evict(&rig, 1, TWIN);
	pool = container_of(rig.compressed, struct compressed, source)->pool;
	bytes = (u8 *)blob_data(zpool_blob(pool, payload));
	for (u32 i = 8; i < 72; i++)
		bytes[i] ^= 0x55;
	cr_expect_eq(rig_fetch(&rig, 0), -EBADMSG);
	cr_expect_eq(rig_fetch(&rig, 1), -EBADMSG);
	evict(&rig, 2, TWIN);
	cr_expect_not(is_shared(&rig, 2));
	cr_expect_eq(rig_fetch(&rig, 2), 0);
	evict(&rig, 3, TWIN + 2);
	cr_expect_eq(rig_fetch(&rig, 3), 0);
	rig_destroy(&rig);
}

/* Stops the first read of a page before it is transferred, until it is released. */
struct stopping {
	struct swap_inject inject;
	_Atomic bool armed, stopped, released;
};

static void stop_read(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		      u32 length)
{
	struct stopping *stopping = container_of(inject, struct stopping, inject);

	(void)offset;
	(void)buffer;
	if (op != SWAP_IO_READ || length == EXTENT_BYTES ||
	    !atomic_exchange(&stopping->armed, false))
		return;
	stopping->stopped = true;
	while (!stopping->released)
		usleep(1000);
}

struct fetching {
	struct rig *rig;
	int result;
};

static void *fetch_first(void *argument)
{
	struct fetching *fetching = argument;

	fetching->result = rig_fetch(fetching->rig, 0);
	return NULL;
}

/* Makes a stored page resident without a load: the ring for reads is busy. */
static void drop(struct rig *rig, u32 index)
{
	struct page_word word = rig_word(rig, index);
	struct page_source *source = rig->memory.sources[page_word_state(word)];

	cr_assert(rig_hold(rig, index));
	source->ops->invalidate(source, page_word_payload(word));
	rig_release(rig, index, page_word(PAGE_RESIDENT, 0));
}

/* A page is read from the file while the cleaner wants its blob and all of the file is written anew. */
static int fetch_from_a_file_in_motion(void)
{
	struct stopping stopping = {.inject = {.before = stop_read}};
	struct fetching fetching;
	struct swap_stats stats;
	struct rig rig;
	pthread_t thread;

	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&rig, PAGES, 64 * MiB, 5 * MiB, &stopping.inject);
	fetching = (struct fetching){&rig, 1};
	evict_twins(&rig, 2, 1);
	cr_assert(write_back(&rig) > 0);
	stopping.armed = true;
	cr_assert_eq(pthread_create(&thread, NULL, fetch_first, &fetching), 0);
	while (!stopping.stopped)
		usleep(1000);
	for (u32 round = 0; round < 20; round++) {
		/* Flushed one by one they take 8 KiB each; with most gone the rest is worth cleaning. */
		for (u32 i = 2; i < 260; i++)
			evict(&rig, i, i | CONTENT_NOISE);
		for (u32 i = 2; i < 260; i++)
			if (i % 4)
				drop(&rig, i);
		evict(&rig, 2, round * 2 + 100);
		write_back(&rig);
		for (u32 i = 2; i < 260; i++)
			if (i == 2 || i % 4 == 0)
				drop(&rig, i);
	}
	stopping.released = true;
	pthread_join(thread, NULL);
	swap_stats(rig.swap, &stats);
	cr_expect(stats.written_bytes > 4 * stats.disk_limit_bytes);
	cr_expect(stats.cleaned_extents > 0);
	rig_destroy(&rig);
	return fetching.result;
}

Test(swap_dedup, a_read_finds_its_blob_though_the_cleaner_wants_it, .timeout = 60)
{
	cr_expect_eq(fetch_from_a_file_in_motion(), 0);
}

/* What pinning is for. */
Test(swap_dedup, without_pins_a_read_finds_another_blob, .timeout = 60)
{
	shared_test_skip_pins = true;
	cr_expect_eq(fetch_from_a_file_in_motion(), -EBADMSG);
	shared_test_skip_pins = false;
}

Test(swap_dedup, sharing_can_be_left_off_and_taken_up_again)
{
	struct rig rig;

	rig_create(&rig, PAGES, 4 * MiB, 0, NULL);
	cr_assert_eq(swap_set_share(rig.swap, false), 0);
	cr_expect_not(stats_of(&rig).share);
	evict_twins(&rig, 64, 4);
	cr_expect_eq(stats_of(&rig).dedup_hits, 0);
	fetch_all(&rig, 64);
	cr_assert_eq(swap_set_share(rig.swap, true), 0);
	evict_twins(&rig, 64, 4);
	cr_expect_gt(stats_of(&rig).dedup_hits, 0);
	counters_agree(&rig);
	fetch_all(&rig, 64);
	rig_destroy(&rig);
}

Test(swap_dedup, a_pool_that_takes_nothing_leaves_pages_to_the_file)
{
	struct rig rig;
	u64 pool;

	rig_create(&rig, PAGES, 4 * MiB, 16 * MiB, NULL);
	evict_twins(&rig, 32, 32);
	pool = stats_of(&rig).pool_pages;
	cr_assert_eq(swap_set_pool_accepts(rig.swap, false), 0);
	for (u32 i = 32; i < 64; i++)
		evict(&rig, i, i * 2);
	cr_expect_eq(stats_of(&rig).pool_pages, pool);
	cr_expect_eq(stats_of(&rig).disk_pages, 32);
	cr_assert_eq(swap_set_pool_accepts(rig.swap, true), 0);
	for (u32 i = 64; i < 96; i++)
		evict(&rig, i, i * 2);
	cr_expect_eq(stats_of(&rig).disk_pages, 32);
	fetch_all(&rig, 96);
	rig_destroy(&rig);
}

Test(swap_dedup, without_a_file_the_pool_has_to_take_pages)
{
	struct rig rig;

	rig_create(&rig, PAGES, 4 * MiB, 0, NULL);
	cr_expect_eq(swap_set_pool_accepts(rig.swap, false), -ENOTSUP);
	cr_expect(stats_of(&rig).pool_accepts);
	rig_destroy(&rig);
}

Test(swap_dedup, what_was_written_back_is_counted)
{
	struct rig rig;

	rig_create(&rig, PAGES, 4 * MiB, 16 * MiB, NULL);
	evict_twins(&rig, 64, 64);
	cr_assert_gt(write_back(&rig), 0);
	cr_expect_eq(stats_of(&rig).written_back_pages, stats_of(&rig).disk_pages);
	cr_expect_gt(stats_of(&rig).written_back_pages, 0);
	fetch_all(&rig, 64);
	rig_destroy(&rig);
}
