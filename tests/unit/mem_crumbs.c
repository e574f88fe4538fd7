// SPDX-License-Identifier: Apache-2.0
/* When direct reclaim gives up although a little memory comes back now and then. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/reclaim.h"
#include "mem/source.h"

#define PATIENCE (400 * NSEC_PER_MSEC)

/* Frees `bytes` every so many scans, and takes its time; its budget is used up. */
struct miser {
	struct reclaimer reclaimer;
	struct memory memory;
	struct reclaim *reclaim;
	u32 every;
	_Atomic u32 scans;
	s64 bytes;
	bool full;
	struct page_source device;
	_Atomic u64 stalled_ns; /* what it says */
};

static u64 miser_count(struct reclaimer *reclaimer)
{
	(void)reclaimer;
	return GiB;
}

static s64 miser_scan(struct reclaimer *reclaimer, u64 bytes)
{
	struct miser *miser = container_of(reclaimer, struct miser, reclaimer);

	(void)bytes;
	usleep(5000);
	if (miser->full)
		atomic_fetch_add(&miser->memory.evict_refused, 1);
	if (++miser->scans % miser->every == 0)
		return miser->bytes;
	return miser->full ? -ENOSPC : 0;
}

static const struct reclaimer_ops miser_ops = {
	.name = "miser",
	.count = miser_count,
	.scan = miser_scan,
};

static void device_stats(struct page_source *source, struct source_stats *stats)
{
	struct miser *miser = container_of(source, struct miser, device);

	*stats = (struct source_stats){.stalled_ns = atomic_load(&miser->stalled_ns)};
}

static const struct page_source_ops device_ops = {
	.name = "device",
	.state = PAGE_DISK,
	.stats = device_stats,
};

static void start(struct miser *miser, u32 every, s64 bytes, bool full)
{
	struct reclaimer *reclaimers[2] = {&miser->reclaimer, NULL};

	*miser = (struct miser){
		.reclaimer.ops = &miser_ops, .every = every, .bytes = bytes, .full = full};
	reclaim_test_patience_ns = PATIENCE;
	memory_init(&miser->memory, 64 * MiB);
	miser->device.ops = &device_ops;
	miser->memory.sources[PAGE_DISK] = &miser->device;
	budget_charge(&miser->memory.budget, 64 * MiB);
	cr_assert_eq(reclaim_create(&miser->memory, reclaimers, 1000, &miser->reclaim), 0);
}

static void stop(struct miser *miser)
{
	reclaim_destroy(miser->reclaim);
	memory_destroy(&miser->memory);
}

/* Faults in a row for some times the patience; how many of them went without. */
static u32 refused(struct miser *miser, u32 times)
{
	u64 end = clock_now_ns() + times * PATIENCE;
	u32 count = 0;

	while (clock_now_ns() < end)
		count += !miser->memory.direct_reclaim(&miser->memory, 16 * PAGE_SIZE, NULL);
	return count;
}

Test(mem_crumbs, a_page_now_and_then_does_not_keep_all_guests_waiting)
{
	struct miser miser;

	start(&miser, 8, PAGE_SIZE, true);
	cr_expect_geq(refused(&miser, 3), 1);
	stop(&miser);
}

/* The others wait for the memory it leaves behind. */
Test(mem_crumbs, one_guest_at_a_time_has_to_go)
{
	struct miser miser;

	start(&miser, 8, PAGE_SIZE, true);
	cr_expect_eq(refused(&miser, 2), 1);
	stop(&miser);
}

Test(mem_crumbs, with_nothing_at_all_one_goes_too)
{
	struct miser miser;

	start(&miser, UINT32_MAX, 0, true);
	cr_expect_eq(refused(&miser, 1), 1);
	stop(&miser);
}

Test(mem_crumbs, memory_that_another_gave_back_is_seen)
{
	struct miser miser;

	start(&miser, UINT32_MAX, 0, true);
	budget_give(&miser.memory.budget, 64 * MiB);
	cr_expect(miser.memory.direct_reclaim(&miser.memory, 16 * PAGE_SIZE, NULL));
	stop(&miser);
}

Test(mem_crumbs, a_store_that_is_slow_but_has_room_is_waited_for)
{
	struct miser miser;

	start(&miser, 1, PAGE_SIZE, false);
	cr_expect_eq(refused(&miser, 3), 0);
	stop(&miser);
}

Test(mem_crumbs, more_than_crumbs_is_enough)
{
	struct miser miser;

	start(&miser, 1, 8 * MiB, true);
	cr_expect_eq(refused(&miser, 3), 0);
	stop(&miser);
}

static void *end_the_stall(void *argument)
{
	struct miser *miser = argument;

	usleep(3 * PATIENCE / 1000);
	budget_give(&miser->memory.budget, 64 * MiB);
	atomic_store(&miser->stalled_ns, 0);
	return NULL;
}

/* A disk that many write to may finish nothing for seconds. */
Test(mem_crumbs, a_device_that_stalls_is_waited_for)
{
	struct miser miser;
	pthread_t thread;

	start(&miser, UINT32_MAX, 0, true);
	atomic_store(&miser.stalled_ns, PATIENCE);
	cr_assert_eq(pthread_create(&thread, NULL, end_the_stall, &miser), 0);
	cr_expect(miser.memory.direct_reclaim(&miser.memory, 16 * PAGE_SIZE, NULL));
	pthread_join(thread, NULL);
	stop(&miser);
}

Test(mem_crumbs, a_device_that_works_excuses_no_full_store)
{
	struct miser miser;

	start(&miser, UINT32_MAX, 0, true);
	atomic_store(&miser.stalled_ns, PATIENCE / 20);
	cr_expect_eq(refused(&miser, 1), 1);
	stop(&miser);
}
