/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of swap/ at once: threads evict, change and fetch pages at random while others compact, write
 * back and clean. Every page must always come back as it was last written; in the end pool, file and
 * budget must be as empty as they began. Meant for the thread sanitizer as well.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "swap/dedup.h"
#include "swap/shared.h"
#include "swap_rig.h"

#define PAGES	3000U
#define WORKERS 3U
#define SECONDS 2U

struct stress {
	struct rig rig;
	u32 contents; /* how many pages differ; 0: about all */
	_Atomic bool stop;
	_Atomic u64 fetched, evicted, reclaimed;
};

struct worker {
	struct stress *stress;
	u64 random;
};

static u32 next_random(struct worker *worker)
{
	worker->random = worker->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(worker->random >> 33);
}

/* Writes new content to a page, if it is resident and free. */
static void change(struct rig *rig, u32 index, u64 number)
{
	struct page_word word;

	if (!rig_hold(rig, index))
		return;
	word = rig_word(rig, index);
	word.bits &= ~PAGE_BUSY;
	if (page_word_state(word) == PAGE_RESIDENT)
		rig->content[index] = number;
	rig_release(rig, index, word);
}

static bool evict_may_say(int result)
{
	return !result || result == -EBUSY || result == -EALREADY || result == -ENOSPC ||
	       result == -E2BIG;
}

static void *use_pages(void *argument)
{
	struct worker *worker = argument;
	struct stress *stress = worker->stress;
	int result;

	while (!stress->stop) {
		u32 index = next_random(worker) % PAGES, number = next_random(worker);

		if (stress->contents)
			number %= stress->contents;
		result = rig_fetch(&stress->rig, index);
		cr_assert(!result || result == -EBUSY || result == -EALREADY, "%d", result);
		stress->fetched += !result;
		/* One in eight does not compress. */
		change(&stress->rig, index, number % 8 ? number & ~1U : number | 1U);
		result = rig_evict(&stress->rig, next_random(worker) % PAGES);
		cr_assert(evict_may_say(result), "%d", result);
		stress->evicted += !result;
	}
	return NULL;
}

static void *reclaim(void *argument)
{
	struct worker *worker = argument;
	struct stress *stress = worker->stress;
	struct reclaimer *writeback = stress->rig.writeback;

	while (!stress->stop) {
		s64 freed = writeback->ops->scan(writeback, next_random(worker) % MiB);

		cr_assert(freed >= 0 || freed == -ENOSPC, "%ld", freed);
		stress->reclaimed += freed > 0;
	}
	return NULL;
}

static int by_payload(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* References and shared blobs, as counted and as a walk of the descriptors finds them. */
static void counters_agree(struct rig *rig)
{
	static u64 payloads[PAGES];
	struct swap_stats stats;
	u32 count = 0, blobs = 0;

	for (u32 i = 0; i < PAGES; i++) {
		struct page_word word = rig_word(rig, i);

		if (page_word_state(word) == PAGE_COMPRESSED &&
		    payload_is_shared(page_word_payload(word)))
			payloads[count++] = page_word_payload(word);
	}
	qsort(payloads, count, sizeof(payloads[0]), by_payload);
	for (u32 i = 0; i < count; i++)
		blobs += !i || payloads[i] != payloads[i - 1];
	swap_stats(rig->swap, &stats);
	cr_expect_eq(stats.shared_pages, count, "%lu counted, %u walked", stats.shared_pages,
		     count);
	cr_expect_eq(stats.shared_blobs, blobs, "%lu counted, %u walked", stats.shared_blobs,
		     blobs);
}

/* Under sanitizers on a busy machine nothing much may have happened yet. */
static bool enough(struct stress *stress)
{
	struct swap_stats stats;

	swap_stats(stress->rig.swap, &stats);
	return stress->fetched > 100 && stress->evicted > 100 &&
	       (!stress->contents || stats.dedup_hits > 100) &&
	       (dedup_test_hash_mask == ~0ULL || stats.hash_collisions > 100);
}

static void run_with(u64 pool_bytes, u64 file_bytes, u32 contents)
{
	struct stress *stress = calloc(1, sizeof(*stress));
	struct worker workers[WORKERS + 2];
	pthread_t threads[WORKERS + 2];
	u64 end = clock_now_ns() + SECONDS * NSEC_PER_SEC;

	stress->contents = contents;
	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&stress->rig, PAGES, pool_bytes, file_bytes, NULL);
	for (u32 i = 0; i < WORKERS + 2; i++) {
		workers[i] = (struct worker){stress, i};
		cr_assert_eq(pthread_create(&threads[i], NULL, i < WORKERS ? use_pages : reclaim,
					    &workers[i]),
			     0);
	}
	while (clock_now_ns() < end || !enough(stress))
		nanosleep(&(struct timespec){.tv_nsec = 10 * NSEC_PER_MSEC}, NULL);
	stress->stop = true;
	for (u32 i = 0; i < WORKERS + 2; i++)
		pthread_join(threads[i], NULL);
	counters_agree(&stress->rig);
	for (u32 i = 0; i < PAGES; i++) {
		int result = rig_fetch(&stress->rig, i);

		cr_assert(!result || result == -EALREADY);
	}
	rig_destroy(&stress->rig);
	free(stress);
}

static void run(u64 pool_bytes, u64 file_bytes)
{
	run_with(pool_bytes, file_bytes, 0);
}

Test(swap_stress, pool_alone, .timeout = 60)
{
	run(3 * MiB, 0);
}

Test(swap_stress, pool_before_a_roomy_file, .timeout = 60)
{
	run(2 * MiB, 64 * MiB);
}

Test(swap_stress, pool_before_a_file_that_is_too_small, .timeout = 60)
{
	run(2 * MiB, 5 * MiB);
}

/* Contents that several pages have at any time, so that every party meets shared blobs: becoming so,
 * moving, read from the file, losing their last page. */
Test(swap_stress, duplicates_in_the_pool, .timeout = 60)
{
	run_with(2 * MiB, 0, 1000);
}

Test(swap_stress, duplicates_before_a_roomy_file, .timeout = 60)
{
	run_with(2 * MiB, 64 * MiB, 1000);
}

Test(swap_stress, duplicates_before_a_file_that_is_too_small, .timeout = 60)
{
	run_with(2 * MiB, 3 * MiB, 2500);
}

Test(swap_stress, duplicates_whose_hashes_collide, .timeout = 60)
{
	dedup_test_hash_mask = 0xf;
	run_with(2 * MiB, 64 * MiB, 64);
	dedup_test_hash_mask = ~0ULL;
}
