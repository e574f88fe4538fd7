/* SPDX-License-Identifier: Apache-2.0 */
/* Whose memory goes: two guests of one host, and what each is entitled to. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
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
	u64 freed = 0, until = clock_now_ns() + 60 * NSEC_PER_SEC;

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

/* Somebody else has taken what is free down to the low watermark. Returns the bytes. */
static u64 make_short(struct host *host)
{
	struct budget *budget = &host->rig.memory.budget;
	u64 free = budget_free(budget), filler = free > budget->low ? free - budget->low : 0;

	budget_charge(budget, filler);
	return filler;
}

/* Takes memory while the first guest uses that many of its pages all the time, until one of the two has only three
 * quarters left. What is freed is used up at once when the host is to be short. */
static void take_from_hot_and_cold(struct host *host, u64 hot, bool is_short)
{
	u64 until = clock_now_ns() + 20 * NSEC_PER_SEC, filler = 0;

	while (resident(&host->rig.guest) > PAGES * 3 / 4 &&
	       resident(&host->other) > PAGES * 3 / 4 && clock_now_ns() < until) {
		if (is_short)
			filler += make_short(host);
		take(host, 256 * KiB);
		for (u64 i = 0; i < hot; i += GROUP_PAGES)
			(void)*(volatile u8 *)(host->rig.guest.ram + i * PAGE_SIZE);
	}
	budget_give(&host->rig.memory.budget, filler);
}

Test(mem_entitlement, a_hot_guest_above_its_goal_gives_before_a_cold_one_within)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = PAGES / 2;
	take_from_hot_and_cold(&host, PAGES * 5 / 8, false);
	cr_expect_leq(resident(&host.rig.guest), PAGES * 3 / 4);
	cr_expect_eq(resident(&host.other), PAGES);
	stop(&host);
}

Test(mem_entitlement, while_memory_is_short_what_is_cold_goes_whoever_has_it)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = PAGES / 2;
	take_from_hot_and_cold(&host, PAGES, true);
	cr_expect_leq(resident(&host.other), PAGES * 3 / 4);
	stop(&host);
}

Test(mem_entitlement, a_min_holds_while_what_is_cold_goes)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = PAGES / 2;
	host.other.space->entitlement.min = PAGES;
	take_from_hot_and_cold(&host, PAGES * 5 / 8, true);
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

/* ... and of the others only those who have more than their min. */
Test(mem_entitlement, min_holds_when_who_should_give_does_not_answer)
{
	struct mem_guest_options options = {.bytes = BYTES};
	struct mem_guest third;
	struct host host;

	start(&host);
	mem_guest_start(&third, &host.rig.memory, &options);
	mem_guest_write_all(&third, 1);
	mem_guest_settle(&third);
	host.other.space->entitlement.min = PAGES;
	host.rig.guest.space->entitlement.goal = 0;
	atomic_store(&host.rig.guest.space->zap_pending, true);
	cr_expect_geq(take(&host, BYTES / 2), BYTES / 2);
	cr_expect_eq(resident(&host.other), PAGES);
	cr_expect_lt(resident(&third), PAGES);
	cr_expect_eq(mem_guest_check_all(&third, 1), 0);
	mem_guest_stop(&third);
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
	for (u32 i = 0; i < 12000 && resident(guest) > pages; i++)
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

/* However much a scan is asked for: the others are asked by another one, if by then there is a need. */
Test(mem_entitlement, a_scan_for_who_is_above_its_limit_takes_from_nobody_else)
{
	struct host host;
	struct reclaimer *reclaimer;
	u64 until = clock_now_ns() + 10 * NSEC_PER_SEC;

	start(&host);
	reclaimer = clock_reclaimer(host.clock);
	host.rig.guest.space->entitlement.limit = PAGES - 2 * REGION_PAGES;
	while (entitlement_standing(host.rig.guest.space) == STANDING_ABOVE_LIMIT &&
	       clock_now_ns() < until)
		cr_assert_geq(reclaimer->ops->scan(reclaimer, 2 * BYTES), 0);
	cr_expect_lt(resident(&host.rig.guest), PAGES - REGION_PAGES);
	cr_expect_eq(resident(&host.other), PAGES);
	host.rig.guest.space->entitlement.limit = UINT64_MAX;
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

static u64 stored(const struct mem_guest *guest)
{
	u64 compressed = page_table_count(&guest->space->table, PAGE_COMPRESSED);

	return compressed + page_table_count(&guest->space->table, PAGE_DISK);
}

static void set_swap_max(struct mem_guest *guest, u64 pages)
{
	atomic_store(&guest->space->entitlement.swap_max, pages);
}

static void await_swap_max(const struct mem_guest *guest, u64 pages)
{
	for (u32 i = 0; i < 2000 && stored(guest) + GROUP_PAGES <= pages; i++)
		usleep(5000);
}

Test(mem_entitlement, others_give_when_who_should_is_at_its_swap_max)
{
	struct host host;

	start(&host);
	host.rig.guest.space->entitlement.goal = 0;
	set_swap_max(&host.rig.guest, PAGES / 8);
	cr_expect_geq(take(&host, BYTES / 2), BYTES / 2);
	cr_expect_leq(stored(&host.rig.guest), PAGES / 8);
	cr_expect_gt(stored(&host.rig.guest) + GROUP_PAGES, PAGES / 8);
	cr_expect_lt(resident(&host.other), PAGES);
	stop(&host);
}

Test(mem_entitlement, a_lower_swap_max_brings_nothing_back_and_ends_the_storing)
{
	struct host host;
	u64 before, others;

	start(&host);
	cr_expect_geq(take(&host, BYTES), BYTES);
	before = stored(&host.rig.guest);
	cr_expect_gt(before, PAGES / 8);
	set_swap_max(&host.rig.guest, PAGES / 8);
	set_swap_max(&host.other, 0);
	others = stored(&host.other);
	for (u64 i = 0; i < PAGES; i += REGION_PAGES)
		evict_pages(host.other.space, i, REGION_PAGES, UINT32_MAX);
	cr_expect_eq(stored(&host.other), others);
	cr_expect_eq(stored(&host.rig.guest), before);
	stop(&host);
}

/* It writes and reads all of its memory, again and again, and what it has in memory and may have stored is hardly
 * enough, though two pages of seven repeat a word. */
Test(mem_entitlement, a_guest_at_its_swap_max_goes_on)
{
#define SWAP_MAX (PAGES * 7 / 16)
	struct host host;
	struct mem_guest *guest = &host.rig.guest;
	struct reclaim *reclaim;
	u64 most = 0;

	start(&host);
	set_swap_max(guest, SWAP_MAX);
	set_swap_max(&host.other, 0);
	reclaim = start_reclaim(&host);
	budget_set_limit(&host.rig.memory.budget, BYTES + BYTES * 3 / 8);
	await_swap_max(guest, SWAP_MAX);
	for (u32 version = 1; version < 4; version++) {
		for (u64 i = 0; i < PAGES; i++) {
			mem_guest_write(guest, i, version);
			cr_assert(mem_guest_check(guest, (i * 7919) % (i + 1), version));
			most = MAX(most, stored(guest));
			cr_assert_leq(most, SWAP_MAX);
		}
		cr_assert_not(guest->failed, "%s", guest->why);
	}
	cr_expect_gt(most + GROUP_PAGES, SWAP_MAX, "it never came near: %lu of %lu", most,
		     SWAP_MAX);
	/* What of the other repeats a word may have gone. */
	cr_expect_eq(stored(&host.other), 0);
	budget_set_limit(&host.rig.memory.budget, 512 * MiB);
	mem_guest_write_all(guest, 1);
	mem_guest_settle(guest);
	reclaim_destroy(reclaim);
	stop(&host);
#undef SWAP_MAX
}

static void *read_everything(void *argument)
{
	return (void *)mem_guest_check_all(argument, 1);
}

Test(mem_entitlement, with_everybody_at_swap_max_a_guest_is_told)
{
	struct host host;
	struct mem_guest *guest = &host.rig.guest;
	struct reclaim *reclaim;
	pthread_t thread;

	reclaim_test_patience_ns = 500 * NSEC_PER_MSEC;
	start(&host);
	set_swap_max(guest, PAGES / 4);
	set_swap_max(&host.other, PAGES / 4);
	reclaim = start_reclaim(&host);
	budget_set_limit(&host.rig.memory.budget, BYTES / 2);
	await_swap_max(guest, PAGES / 4);
	await_swap_max(&host.other, PAGES / 4);
	pthread_create(&thread, NULL, read_everything, guest);
	for (u32 i = 0; i < 2000 && !guest->failed; i++)
		usleep(10000);
	cr_assert(guest->failed);
	cr_expect(strstr(guest->why, "no memory for page"), "%s", guest->why);
	cr_expect(strstr(guest->why, "guests at their swap_max: 2; raise that"), "%s", guest->why);
	mem_guest_end(guest);
	pthread_join(thread, NULL);
	budget_set_limit(&host.rig.memory.budget, 512 * MiB);
	cr_expect_eq(mem_guest_check_all(&host.other, 2), 0);
	reclaim_destroy(reclaim);
	clock_destroy(host.clock);
	mem_guest_stop(&host.other);
	mem_rig_stop(&host.rig);
}

Test(mem_entitlement, by_hand_no_more_is_taken_than_swap_max)
{
	struct host host;
	struct reclaim *reclaim;
	u64 soon;

	start(&host);
	set_swap_max(&host.rig.guest, PAGES / 8);
	reclaim = start_reclaim(&host);
	soon = clock_now_ns() + 60 * NSEC_PER_SEC;
	cr_expect_gt(reclaim_from(reclaim, host.rig.guest.space, BYTES, soon), 0);
	cr_expect_eq(stored(&host.rig.guest), PAGES / 8);
	cr_expect_eq(reclaim_from(reclaim, host.rig.guest.space, BYTES, soon), 0);
	reclaim_destroy(reclaim);
	stop(&host);
}
