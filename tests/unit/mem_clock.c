/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory goes: the clock, asked directly, without a background thread. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "tests/unit/mem_rig.h"

#define BATCH (2 * MiB)

struct clocked {
	struct mem_rig rig;
	struct clock *clock;
	pthread_t thread; /* touches pages all the time */
	u64 end, step;
	_Atomic bool stop;
	_Atomic u64 turns;
};

static s64 scan(struct clocked *clocked, u64 bytes)
{
	struct reclaimer *reclaimer = clock_reclaimer(clocked->clock);

	return reclaimer->ops->scan(reclaimer, bytes);
}

static void start(struct clocked *clocked, const struct mem_guest_options *options)
{
	mem_rig_start_with(&clocked->rig, options, 512 * MiB, false);
	clocked->clock = clock_create(&clocked->rig.memory);
	mem_guest_write_all(&clocked->rig.guest, 1);
	mem_guest_settle(&clocked->rig.guest);
}

static void stop(struct clocked *clocked)
{
	clock_destroy(clocked->clock);
	mem_rig_stop(&clocked->rig);
}

static void *touch_all_the_time(void *argument)
{
	struct clocked *clocked = argument;

	while (!clocked->stop) {
		for (u64 i = 0; i < clocked->end; i += clocked->step)
			(void)*(volatile u8 *)(clocked->rig.guest.ram + i * PAGE_SIZE);
		clocked->turns++;
	}
	return NULL;
}

/* Touches one page in `step` of those before `end`, until it is to cool down. */
static void keep_hot(struct clocked *clocked, u64 end, u64 step)
{
	clocked->end = end;
	clocked->step = step;
	pthread_create(&clocked->thread, NULL, touch_all_the_time, clocked);
	while (clocked->turns < 2)
		usleep(100);
}

static void cool_down(struct clocked *clocked)
{
	clocked->stop = true;
	pthread_join(clocked->thread, NULL);
}

/* So that what is hot shows, however busy the machine is: all of it is touched once more. */
static void wait_a_turn(struct clocked *clocked)
{
	u64 turns = clocked->turns;

	if (!turns)
		usleep(2000);
	while (turns && clocked->turns < turns + 2)
		usleep(200);
}

/* Scans until so many bytes are free, at most for a minute; returns what was freed. */
static u64 free_bytes(struct clocked *clocked, u64 bytes)
{
	u64 freed = 0, until = clock_now_ns() + 60 * NSEC_PER_SEC;

	while (freed < bytes && clock_now_ns() < until) {
		s64 now = scan(clocked, BATCH);

		cr_assert_geq(now, 0);
		freed += (u64)now;
		wait_a_turn(clocked);
	}
	return freed;
}

static u64 resident_in(const struct mem_guest *guest, u64 first, u64 end)
{
	u64 resident = 0;

	for (u64 i = first; i < end; i++)
		resident += guest->space->regions[i].resident;
	return resident;
}

Test(mem_clock, frees_what_is_asked_when_all_is_cold)
{
	struct mem_guest_options options = {.bytes = 32 * MiB};
	struct clocked clocked = {0};

	start(&clocked, &options);
	cr_expect_geq(clock_reclaimer(clocked.clock)->ops->count(clock_reclaimer(clocked.clock)),
		      32 * MiB);
	cr_expect_geq(free_bytes(&clocked, 16 * MiB), 16 * MiB);
	cr_expect_leq(mem_guest_file_pages(&clocked.rig.guest), 16 * MiB / PAGE_SIZE);
	cr_expect_eq(mem_guest_check_all(&clocked.rig.guest, 1), 0);
	stop(&clocked);
}

Test(mem_clock, cold_regions_go_before_hot_ones)
{
	struct mem_guest_options options = {.bytes = 128 * MiB};
	struct clocked clocked = {0};
	u64 hot, cold;

	start(&clocked, &options);
	keep_hot(&clocked, 16 * REGION_PAGES, GROUP_PAGES);
	cr_expect_geq(free_bytes(&clocked, 64 * MiB), 64 * MiB);
	cool_down(&clocked);
	mem_guest_settle(&clocked.rig.guest);
	hot = resident_in(&clocked.rig.guest, 0, 16);
	cold = resident_in(&clocked.rig.guest, 16, 64);
	cr_expect_gt(hot * 100 / (16 * REGION_PAGES), 75, "%lu of %lu hot pages stayed", hot,
		     16 * REGION_PAGES);
	cr_expect_lt(cold * 100 / (48 * REGION_PAGES), 50, "%lu of %lu cold pages stayed", cold,
		     48 * REGION_PAGES);
	stop(&clocked);
}

/* No group of pages is idle, nor is any page that is used far from one that is not. */
Test(mem_clock, idle_pages_go_from_among_hot_ones)
{
	struct mem_guest_options options = {.bytes = 48 * MiB, .small = true};
	struct clocked clocked = {0};
	u64 hot = 0, all;

	start(&clocked, &options);
	keep_hot(&clocked, clocked.rig.guest.bytes / PAGE_SIZE, 3);
	cr_expect_geq(free_bytes(&clocked, 24 * MiB), 24 * MiB);
	cool_down(&clocked);
	mem_guest_settle(&clocked.rig.guest);
	all = clocked.rig.guest.bytes / PAGE_SIZE / 3;
	for (u64 i = 0; i < clocked.rig.guest.bytes / PAGE_SIZE; i += 3)
		hot += mem_guest_state(&clocked.rig.guest, i) == PAGE_RESIDENT;
	cr_expect_gt(hot * 100 / all, 75, "%lu of %lu hot pages stayed", hot, all);
	cr_expect_eq(mem_guest_check_all(&clocked.rig.guest, 1), 0);
	stop(&clocked);
}

static bool most_are_huge(const struct mem_guest *guest)
{
	u64 huge = 0;

	for (u64 i = 0; i < guest->space->region_count; i++)
		huge += guest->space->regions[i].huge;
	return huge >= guest->space->region_count / 2;
}

/* The same in huge pages, which show but that some page of them is used: they are split to see more. */
Test(mem_clock, huge_pages_in_use_are_split_to_find_what_is_idle_in_them)
{
	struct mem_guest_options options = {.bytes = 48 * MiB};
	struct clocked clocked = {0};

	start(&clocked, &options);
	keep_hot(&clocked, clocked.rig.guest.bytes / PAGE_SIZE, 3);
	cr_expect_geq(free_bytes(&clocked, 16 * MiB), 16 * MiB);
	/* One that is not touched between two looks goes as it is. */
	for (u32 i = 0; i < 100 && most_are_huge(&clocked.rig.guest); i++)
		free_bytes(&clocked, MiB);
	cool_down(&clocked);
	mem_guest_settle(&clocked.rig.guest);
	cr_expect_not(most_are_huge(&clocked.rig.guest));
	cr_expect_eq(mem_guest_check_all(&clocked.rig.guest, 1), 0);
	stop(&clocked);
}

Test(mem_clock, finds_memory_even_when_all_of_it_is_hot)
{
	struct mem_guest_options options = {.bytes = 32 * MiB};
	struct clocked clocked = {0};

	start(&clocked, &options);
	keep_hot(&clocked, 16 * REGION_PAGES, GROUP_PAGES);
	cr_expect_geq(free_bytes(&clocked, 8 * MiB), 8 * MiB);
	cool_down(&clocked);
	cr_expect_eq(mem_guest_check_all(&clocked.rig.guest, 1), 0);
	stop(&clocked);
}

static u32 protection(struct region *region)
{
	u32 passes;

	pthread_mutex_lock(&region->lock);
	passes = region->protection;
	pthread_mutex_unlock(&region->lock);
	return passes;
}

Test(mem_clock, what_came_back_soon_after_eviction_is_spared)
{
	struct mem_guest_options options = {.bytes = 16 * MiB, .small = true};
	struct clocked clocked = {0};
	struct mem_guest *guest = &clocked.rig.guest;

	start(&clocked, &options);
	cr_assert_gt(evict_pages(guest->space, 0, REGION_PAGES, UINT32_MAX), 0);
	cr_expect_eq(protection(&guest->space->regions[0]), 0);
	cr_expect(mem_guest_check(guest, 0, 1));
	mem_guest_settle(guest);
	cr_expect_gt(protection(&guest->space->regions[0]), 0);
	stop(&clocked);
}

/* The queue between the hands outlives the guests in it. */
Test(mem_clock, passes_over_guests_that_are_gone)
{
	struct mem_guest_options options = {.bytes = 32 * MiB};
	struct clocked clocked = {0};
	struct mem_guest other;

	start(&clocked, &options);
	mem_guest_start(&other, &clocked.rig.memory, &options);
	mem_guest_write_all(&other, 2);
	mem_guest_settle(&other);
	cr_expect_gt(free_bytes(&clocked, 8 * MiB), 0);
	mem_guest_stop(&other);
	cr_expect_geq(free_bytes(&clocked, 12 * MiB), 8 * MiB);
	/* A smaller one in its place. */
	options.bytes = 2 * MiB;
	mem_guest_start(&other, &clocked.rig.memory, &options);
	mem_guest_write_all(&other, 2);
	free_bytes(&clocked, 4 * MiB);
	cr_expect_eq(mem_guest_check_all(&other, 2), 0);
	mem_guest_stop(&other);
	stop(&clocked);
}

Test(mem_clock, a_guest_that_never_answers_loses_its_second_chance)
{
	struct mem_guest_options options = {.bytes = 8 * MiB, .mute = true};
	struct clocked clocked = {0};
	u64 began = clock_now_ns();

	start(&clocked, &options);
	cr_expect_geq(free_bytes(&clocked, 4 * MiB), 4 * MiB);
	cr_expect_geq(clock_now_ns() - began, 90 * NSEC_PER_MSEC);
	cr_expect_gt(clocked.rig.guest.zaps, 0);
	stop(&clocked);
}

Test(mem_clock, evicts_without_idle_sampling_where_there_is_none)
{
	struct mem_guest_options options = {.bytes = 8 * MiB, .removes = true};
	struct clocked clocked = {0};

	start(&clocked, &options);
	cr_expect_geq(free_bytes(&clocked, 4 * MiB), 4 * MiB);
	cr_expect_eq(mem_guest_check_all(&clocked.rig.guest, 1), 0);
	stop(&clocked);
}

/* MADV_DONTNEED keeps what is in a shared file, but raises the event of what does not. */
Test(mem_clock, a_vmm_that_reports_what_it_drops_is_not_asked_to_unmap)
{
	struct mem_guest_options options = {.bytes = 8 * MiB, .removes = true};
	struct space_range range = {0, 2 * MiB};
	struct clocked clocked = {0};

	start(&clocked, &options);
	cr_expect_eq(space_zap(clocked.rig.guest.space, &range, 1), -ENOTSUP);
	cr_expect_geq(free_bytes(&clocked, 4 * MiB), 4 * MiB);
	cr_expect_eq(clocked.rig.guest.zaps, 0);
	cr_expect_eq(mem_guest_check_all(&clocked.rig.guest, 1), 0, "pages were taken for dropped");
	stop(&clocked);
}

/* ---- the watermarks ---- */

struct reclaiming {
	struct mem_rig rig;
	struct clock *clock;
	struct reclaim *reclaim;
};

static void start_reclaim(struct reclaiming *reclaiming, u64 bytes, u64 budget)
{
	struct reclaimer *reclaimers[2] = {NULL};

	mem_rig_start(&reclaiming->rig, bytes, budget, false);
	reclaiming->clock = clock_create(&reclaiming->rig.memory);
	reclaimers[0] = clock_reclaimer(reclaiming->clock);
	cr_assert_eq(reclaim_create(&reclaiming->rig.memory, reclaimers, 50, &reclaiming->reclaim),
		     0);
}

static void stop_reclaim(struct reclaiming *reclaiming)
{
	mem_guest_settle(&reclaiming->rig.guest);
	reclaim_destroy(reclaiming->reclaim);
	clock_destroy(reclaiming->clock);
	mem_rig_stop(&reclaiming->rig);
}

Test(mem_reclaim, works_in_the_background_up_to_the_high_watermark)
{
	struct reclaiming reclaiming;
	struct budget *budget = &reclaiming.rig.memory.budget;

	start_reclaim(&reclaiming, 96 * MiB, 64 * MiB);
	mem_guest_write_all(&reclaiming.rig.guest, 1);
	for (u32 i = 0; i < 1000 && budget_free(budget) < budget->high; i++)
		usleep(5000);
	cr_expect_geq(budget_free(budget), budget->high);
	cr_expect_leq(budget->peak, budget->limit);
	cr_expect_not(reclaiming.rig.guest.failed);
	stop_reclaim(&reclaiming);
}

Test(mem_reclaim, leaves_a_guest_that_fits_alone)
{
	struct reclaiming reclaiming;

	start_reclaim(&reclaiming, 32 * MiB, 64 * MiB);
	mem_guest_write_all(&reclaiming.rig.guest, 1);
	usleep(200000);
	cr_expect_eq(reclaiming.rig.guest.space->counters.evicted, 0);
	cr_expect_eq(reclaiming.rig.guest.zaps, 0);
	stop_reclaim(&reclaiming);
}

/* Half of the pages compress nowhere, and they come first: the others must be found. */
Test(mem_reclaim, does_not_give_up_while_some_pages_can_be_stored)
{
	struct reclaiming reclaiming;
	struct mem_guest *guest = &reclaiming.rig.guest;

	start_reclaim(&reclaiming, 96 * MiB, 64 * MiB);
	reclaiming.rig.pool.refuse_odd = true;
	for (u32 turn = 0; turn < 2; turn++) {
		mem_guest_write_all(guest, 1);
		cr_assert_not(guest->failed, "%s", guest->why);
	}
	cr_expect_eq(mem_guest_check_all(guest, 1), 0);
	cr_expect_leq(reclaiming.rig.memory.budget.peak, reclaiming.rig.memory.budget.limit);
	stop_reclaim(&reclaiming);
}

static void *write_everything(void *argument)
{
	mem_guest_write_all(argument, 1);
	return NULL;
}

Test(mem_reclaim, gives_up_with_a_message_when_nothing_can_be_stored)
{
	struct reclaiming reclaiming;
	struct mem_guest *guest = &reclaiming.rig.guest;
	pthread_t thread;

	start_reclaim(&reclaiming, 32 * MiB, 8 * MiB);
	reclaiming.rig.pool.full = true;
	pthread_create(&thread, NULL, write_everything, guest);
	for (u32 i = 0; i < 2000 && !guest->failed; i++)
		usleep(10000);
	cr_assert(guest->failed);
	cr_expect(strstr(guest->why, "no memory for page"), "%s", guest->why);
	cr_expect_leq(reclaiming.rig.memory.budget.peak, reclaiming.rig.memory.budget.limit);
	mem_guest_end(guest);
	pthread_join(thread, NULL);
	reclaim_destroy(reclaiming.reclaim);
	clock_destroy(reclaiming.clock);
	mem_rig_stop(&reclaiming.rig);
}
