/* SPDX-License-Identifier: Apache-2.0 */
/* Fault-around: what lies beside a page in use is mapped with it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/bits.h"
#include "lib/clock.h"
#include "mem/around.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "mem/uffd.h"
#include "tests/unit/mem_rig.h"

static void start(struct mem_rig *rig, bool small)
{
	struct mem_guest_options options = {.bytes = 2 * MiB, .small = small, .pidfd = true};

	mem_rig_start_with(rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig->guest, 1);
	mem_guest_settle(&rig->guest);
}

/* As the front hand does. */
static void unmap(struct mem_rig *rig)
{
	struct region *region = &rig->guest.space->regions[0];

	pthread_mutex_lock(&region->lock);
	region->sampled = true;
	region->used = 0;
	pthread_mutex_unlock(&region->lock);
	madvise(rig->guest.ram, REGION_SIZE, MADV_DONTNEED);
}

static void touch(struct mem_rig *rig, u64 index)
{
	(void)*(volatile u8 *)(rig->guest.ram + index * PAGE_SIZE);
}

static u32 mapped_pages(struct mem_rig *rig)
{
	u64 unmapped[REGION_PAGES / 64];

	cr_assert_eq(region_unmapped(rig->guest.space, 0, unmapped), 0);
	return REGION_PAGES - bits_count(unmapped, REGION_PAGES);
}

/* Content, counters, and the end. */
static void stop(struct mem_rig *rig)
{
	cr_expect_eq(mem_guest_check_all(&rig->guest, 1), 0);
	mem_rig_check_counters(rig);
	mem_rig_stop(rig);
}

Test(mem_around, groups_are_mapped_of_which_a_page_was_touched)
{
	struct mem_rig rig;

	start(&rig, true);
	unmap(&rig);
	cr_expect_eq(around_map(rig.guest.space, 0), 0);
	touch(&rig, 5);
	touch(&rig, 40);
	cr_expect_eq(mapped_pages(&rig), 2);
	cr_expect_eq(around_map(rig.guest.space, 17), 2 * (GROUP_PAGES - 1));
	cr_expect_eq(mapped_pages(&rig), 2 * GROUP_PAGES);
	cr_expect_eq(rig.guest.space->regions[0].used, 1U << 0 | 1U << 2);
	cr_expect_eq(rig.guest.space->counters.around, 2 * (GROUP_PAGES - 1));
	cr_expect_eq(around_map(rig.guest.space, 0), 0);
	stop(&rig);
}

Test(mem_around, nothing_is_mapped_where_the_clock_does_not_wait_for_it)
{
	struct mem_rig rig;

	start(&rig, true);
	unmap(&rig);
	rig.guest.space->regions[0].sampled = false;
	touch(&rig, 5);
	cr_expect_eq(around_map(rig.guest.space, 0), 0);
	cr_expect_eq(mapped_pages(&rig), 1);
	stop(&rig);
}

/* The scanner waits for a write to it. */
Test(mem_around, a_write_to_a_clean_group_is_still_seen)
{
	struct mem_rig rig;
	struct space *space;

	start(&rig, true);
	space = rig.guest.space;
	cr_assert_eq(
		uffd_protect(space->options.uffd, space_hva(space, 0), GROUP_PAGES * PAGE_SIZE), 0);
	space->regions[0].clean = 1;
	unmap(&rig);
	touch(&rig, 5);
	cr_expect_eq(around_map(space, 0), 0);
	mem_guest_write(&rig.guest, 6, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(space->counters.wp, 1);
	cr_expect_eq(space->regions[0].clean, 0);
	stop(&rig);
}

Test(mem_around, what_somebody_works_on_or_waits_for_a_write_to_is_left_out)
{
	struct mem_rig rig;
	struct region *region;

	start(&rig, true);
	region = &rig.guest.space->regions[0];
	unmap(&rig);
	pthread_mutex_lock(&region->lock);
	page_hold(&rig.guest.space->table, 7);
	page_hint(&rig.guest.space->table, 9, 1);
	pthread_mutex_unlock(&region->lock);
	touch(&rig, 5);
	cr_expect_eq(around_map(rig.guest.space, 0), GROUP_PAGES - 3);
	cr_expect_eq(mapped_pages(&rig), GROUP_PAGES - 2);
	pthread_mutex_lock(&region->lock);
	page_release(&rig.guest.space->table, 7);
	page_hint(&rig.guest.space->table, 9, 0);
	pthread_mutex_unlock(&region->lock);
	stop(&rig);
}

/* What was evicted is not there to be mapped; what was, the guest finds as ever. */
Test(mem_around, absent_pages_stay_absent)
{
	struct mem_rig rig;

	start(&rig, true);
	cr_assert_eq(evict_pages(rig.guest.space, 8, 4, UINT32_MAX), 4);
	unmap(&rig);
	touch(&rig, 5);
	cr_expect_eq(around_map(rig.guest.space, 0), GROUP_PAGES - 5);
	cr_expect_neq(mem_guest_state(&rig.guest, 8), PAGE_RESIDENT);
	stop(&rig);
}

/* Once in pieces, and whole again. */
static void make_small_and_whole(struct mem_rig *rig)
{
	struct space *space = rig->guest.space;

	for (u64 i = 0; i < space->region_count; i++)
		evict_pages(space, i * REGION_PAGES, REGION_PAGES, 1);
	cr_assert_eq(mem_guest_check_all(&rig->guest, 1), 0);
	mem_guest_settle(&rig->guest);
	for (u64 i = 0; i < space->region_count; i++)
		cr_assert(space->regions[i].mapping == REGION_WHOLE && !space->regions[i].huge);
}

static bool can_collapse(struct mem_rig *rig)
{
	int result = region_collapse(rig->guest.space, 0);

	return result != -EINVAL && result != -ENOSYS && result != -EPERM;
}

Test(mem_around, a_region_in_small_pages_much_of_which_is_used_becomes_huge)
{
	struct mem_rig rig;

	start(&rig, false);
	make_small_and_whole(&rig);
	unmap(&rig);
	touch(&rig, 5);
	cr_expect_eq(around_map(rig.guest.space, 0), 0);
	cr_expect_not(rig.guest.space->regions[0].huge);
	for (u64 i = 0; i < REGION_PAGES; i += 4)
		touch(&rig, i);
	if (!around_map(rig.guest.space, 0) && !can_collapse(&rig))
		cr_skip_test("this kernel does not collapse shared memory on demand");
	cr_expect(rig.guest.space->regions[0].huge);
	cr_expect_eq(rig.guest.space->regions[0].used, UINT32_MAX);
	stop(&rig);
}

/* ---- when ---- */

struct resting {
	struct mem_rig rig;
	struct clock *clock;
	struct reclaimer *reclaimer;
};

/* With all of the guest unmapped: the front hand was there, the back hand takes the first of it. */
static void start_resting(struct resting *resting)
{
	struct mem_guest_options options = {.bytes = 16 * MiB, .small = true};

	mem_rig_start_with(&resting->rig, &options, 64 * MiB, false);
	resting->clock = clock_create(&resting->rig.memory);
	resting->reclaimer = clock_reclaimer(resting->clock);
	mem_guest_write_all(&resting->rig.guest, 1);
	mem_guest_settle(&resting->rig.guest);
	cr_assert_gt(resting->reclaimer->ops->scan(resting->reclaimer, PAGE_SIZE), 0);
}

static bool rest(struct resting *resting)
{
	return resting->reclaimer->ops->rest(resting->reclaimer);
}

Test(mem_around, the_hands_map_at_rest_what_is_in_use_and_leave_the_rest_alone)
{
	struct resting resting;
	struct mem_guest *guest;
	u64 around;

	start_resting(&resting);
	guest = &resting.rig.guest;
	cr_expect_not(rest(&resting), "nothing was in use");
	/* Not again within a second. */
	for (u64 i = 0; i < guest->bytes; i += GROUP_PAGES * PAGE_SIZE)
		(void)*(volatile u8 *)(guest->ram + i);
	mem_guest_settle(guest);
	cr_expect_not(rest(&resting));
	cr_expect_eq(guest->space->counters.around, 0);
	usleep(1100000);
	cr_expect(rest(&resting));
	around = guest->space->counters.around;
	cr_expect_gt(around, 12 * MiB / PAGE_SIZE);
	cr_expect_not(rest(&resting), "all was mapped");
	cr_expect_eq(guest->space->counters.around, around);
	cr_expect_eq(mem_guest_check_all(guest, 1), 0);
	clock_destroy(resting.clock);
	mem_rig_stop(&resting.rig);
}

static u32 huge_regions(const struct mem_guest *guest)
{
	u32 huge = 0;

	for (u64 i = 0; i < guest->space->region_count; i++) {
		pthread_mutex_lock(&guest->space->regions[i].lock);
		huge += guest->space->regions[i].huge;
		pthread_mutex_unlock(&guest->space->regions[i].lock);
	}
	return huge;
}

static bool wait_for_huge(const struct mem_guest *guest, u32 regions, u64 ms)
{
	u64 until = clock_now_ns() + ms * NSEC_PER_MSEC;

	while (huge_regions(guest) < regions && clock_now_ns() < until)
		usleep(5000);
	return huge_regions(guest) >= regions;
}

/* Once there is one, the others do not wait for a tick each. What the clock has unmapped waits for its look. */
Test(mem_around, regions_that_are_whole_again_become_huge_one_after_the_other)
{
	struct mem_guest_options options = {.bytes = 80 * MiB, .pidfd = true};
	struct reclaimer *reclaimers[2] = {NULL};
	struct reclaim *reclaim;
	struct mem_rig rig;
	struct clock *clock;

	mem_rig_start_with(&rig, &options, 256 * MiB, false);
	mem_guest_write_all(&rig.guest, 1);
	make_small_and_whole(&rig);
	if (!can_collapse(&rig))
		cr_skip_test("this kernel does not collapse shared memory on demand");
	rig.guest.space->regions[3].sampled = true;
	clock = clock_create(&rig.memory);
	reclaimers[0] = clock_reclaimer(clock);
	cr_assert_eq(reclaim_create(&rig.memory, reclaimers, 60000, &reclaim), 0);
	cr_expect(wait_for_huge(&rig.guest, 39, 20000));
	reclaim_destroy(reclaim);
	cr_expect_not(rig.guest.space->regions[3].huge);
	clock_destroy(clock);
	stop(&rig);
}
