/* SPDX-License-Identifier: Apache-2.0 */
/* Whose memory goes: two guests of one host, and what each is entitled to. */
#include <criterion/criterion.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "tests/unit/mem_rig.h"

#define BYTES (64 * MiB)
#define PAGES (BYTES / PAGE_SIZE)

struct host {
	struct mem_rig rig; /* its guest is `mine` */
	struct mem_guest other;
	struct clock *clock;
};

static void start(struct host *host)
{
	struct mem_guest_options options = {.bytes = BYTES};

	mem_rig_start_with(&host->rig, &options, 512 * MiB, false);
	/* The vault has room for one guest; both shall fit. */
	mem_guest_start(&host->other, &host->rig.memory, &options);
	host->clock = clock_create(&host->rig.memory);
	mem_guest_write_all(&host->rig.guest, 1);
	mem_guest_write_all(&host->other, 2);
	mem_guest_settle(&host->rig.guest);
	mem_guest_settle(&host->other);
}

static void stop(struct host *host)
{
	cr_expect_eq(mem_guest_check_all(&host->rig.guest, 1), 0);
	cr_expect_eq(mem_guest_check_all(&host->other, 2), 0);
	clock_destroy(host->clock);
	mem_guest_stop(&host->other);
	mem_rig_stop(&host->rig);
}

static u64 resident(const struct mem_guest *guest)
{
	return page_table_count(&guest->space->table, PAGE_RESIDENT);
}

/* Scans until so many bytes were freed; gives up after some seconds. */
static u64 take(struct host *host, u64 bytes)
{
	struct reclaimer *reclaimer = clock_reclaimer(host->clock);
	u64 freed = 0, until = clock_now_ns() + 10 * NSEC_PER_SEC;

	while (freed < bytes && clock_now_ns() < until) {
		s64 now = reclaimer->ops->scan(reclaimer, MiB);

		cr_assert_geq(now, 0);
		freed += (u64)now;
		if (!now)
			usleep(1000);
	}
	return freed;
}

/* The hands start at the first guest, so it is the second that shows a difference. */
Test(mem_entitlement, who_is_above_its_goal_gives_first)
{
	struct host host;

	start(&host);
	host.other.space->entitlement.goal = PAGES / 2;
	cr_expect_geq(take(&host, BYTES / 4), BYTES / 4);
	cr_expect_eq(resident(&host.rig.guest), PAGES);
	/* When that one has no more than its goal, both are asked. */
	cr_expect_geq(take(&host, BYTES), BYTES);
	cr_expect_lt(resident(&host.rig.guest), PAGES);
	stop(&host);
}

/* The protection taken out: without a goal the first guest gives. */
Test(mem_entitlement, without_a_goal_nobody_is_spared)
{
	struct host host;

	start(&host);
	cr_expect_geq(take(&host, BYTES / 4), BYTES / 4);
	cr_expect_lt(resident(&host.rig.guest), PAGES);
	stop(&host);
}

Test(mem_entitlement, a_hot_guest_above_its_goal_gives_before_a_cold_one_within)
{
	struct host host;
	u64 until = clock_now_ns() + 20 * NSEC_PER_SEC;

	start(&host);
	host.rig.guest.space->entitlement.goal = PAGES / 2;
	while (resident(&host.rig.guest) > PAGES * 3 / 4 && clock_now_ns() < until) {
		take(&host, 256 * KiB);
		/* All of it is used all the time. */
		for (u64 i = 0; i < PAGES * 5 / 8; i += GROUP_PAGES)
			(void)*(volatile u8 *)(host.rig.guest.ram + i * PAGE_SIZE);
	}
	cr_expect_leq(resident(&host.rig.guest), PAGES * 3 / 4);
	cr_expect_eq(resident(&host.other), PAGES);
	stop(&host);
}

Test(mem_entitlement, nobody_falls_below_min_while_others_are_above)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.min = PAGES * 3 / 4;
	cr_expect_geq(take(&host, BYTES), BYTES);
	/* A region or so may be on its way when the line is reached. */
	cr_expect_geq(resident(&host.rig.guest) + 2 * REGION_PAGES, PAGES * 3 / 4);
	stop(&host);
}

Test(mem_entitlement, what_is_cold_goes_before_what_is_not)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.keep = PAGES / 2;
	cr_expect_geq(take(&host, BYTES / 4), BYTES / 4);
	cr_expect_eq(resident(&host.other), PAGES);
	stop(&host);
}

/* Who should give does not answer: what its VMM was told to unmap is still under way. */
Test(mem_entitlement, others_give_when_who_should_does_not_answer)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = 0;
	atomic_store(&host.rig.guest.space->zap_pending, true);
	cr_expect_geq(take(&host, BYTES / 16), BYTES / 16);
	cr_expect_lt(resident(&host.other), PAGES);
	stop(&host);
}

/* Who should give cannot: nothing of it can be stored. Then the others are asked. */
Test(mem_entitlement, others_give_when_who_should_cannot)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = 0;
	host.rig.guest.failed = false;
	atomic_store(&host.rig.pool.refuse_all, true);
	for (u64 i = 0; i < PAGES; i++) {
		/* Only what is all zero or one word can go; the guest above its goal has none. */
		volatile u64 *page = (volatile u64 *)(host.rig.guest.ram + i * PAGE_SIZE);

		for (u32 word = 0; word < PAGE_SIZE / 8; word++)
			page[word] = i * 1000003 + word + 1;
	}
	mem_guest_settle(&host.rig.guest);
	cr_expect_geq(take(&host, BYTES / 16), BYTES / 16);
	cr_expect_lt(resident(&host.other), PAGES);
	atomic_store(&host.rig.pool.refuse_all, false);
	mem_guest_write_all(&host.rig.guest, 1);
	stop(&host);
}

Test(mem_entitlement, a_guest_that_failed_holds_nobody_up)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = 0;
	host.rig.guest.space->failed = true;
	cr_expect_geq(take(&host, BYTES / 8), BYTES / 8);
	cr_expect_lt(resident(&host.other), PAGES);
	host.rig.guest.space->failed = false;
	stop(&host);
}

static struct reclaim *start_reclaim(struct host *host)
{
	struct reclaimer *reclaimers[2] = {clock_reclaimer(host->clock), NULL};
	struct reclaim *reclaim;

	cr_assert_eq(reclaim_create(&host->rig.memory, reclaimers, 10, &reclaim), 0);
	return reclaim;
}

static bool comes_down(const struct mem_guest *guest, u64 pages)
{
	for (u32 i = 0; i < 2000 && resident(guest) > pages; i++)
		usleep(5000);
	return resident(guest) <= pages;
}

Test(mem_entitlement, a_limit_holds_with_memory_to_spare)
{
	struct host host;
	struct reclaim *reclaim;

	start(&host);
	host.rig.guest.space->entitlement.limit = PAGES / 2;
	reclaim = start_reclaim(&host);
	cr_expect(comes_down(&host.rig.guest, PAGES / 2));
	/* It uses all of its memory, and still never has more. */
	for (u64 i = 0; i < PAGES; i++) {
		cr_assert(mem_guest_check(&host.rig.guest, i, 1));
		cr_assert_leq(resident(&host.rig.guest), PAGES / 2 + 2 * REGION_PAGES);
	}
	cr_expect(comes_down(&host.rig.guest, PAGES / 2));
	cr_expect_eq(resident(&host.other), PAGES);
	mem_guest_settle(&host.rig.guest);
	host.rig.guest.space->entitlement.limit = UINT64_MAX;
	mem_guest_settle(&host.rig.guest);
	reclaim_destroy(reclaim);
	stop(&host);
}

Test(mem_entitlement, a_free_goal_is_met_from_who_has_too_much)
{
	struct host host;
	struct reclaim *reclaim;

	start(&host);
	host.rig.guest.space->entitlement.goal = PAGES / 2;
	host.rig.memory.free_goal = 512 * MiB;
	reclaim = start_reclaim(&host);
	cr_expect(comes_down(&host.rig.guest, PAGES / 2 + REGION_PAGES));
	usleep(50000);
	cr_expect_geq(resident(&host.rig.guest), PAGES / 4);
	cr_expect_eq(resident(&host.other), PAGES);
	reclaim_destroy(reclaim);
	stop(&host);
}
