/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to shared pages, at the edge of the budget: what is kept for them, and who waits. */
#include <criterion/criterion.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "mem/breaks.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "mem/unshare.h"
#include "tests/unit/ksm_rig.h"

#define BYTES (8 * MiB)
#define PAGES (BYTES / PAGE_SIZE)
#define RATE  1000
#define WRITTEN (38 * GROUP_PAGES) /* more than a 32nd of the budget, by less than 100 */

/* Guests 0 and 1 share all they have, and nothing can be stored anywhere. */
static void start(struct ksm_rig *rig)
{
	const struct ksm_rig_options options = {.bytes = BYTES, .budget = 64 * MiB};

	ksm_rig_start(rig, &options);
	ksm_rig_fill(&rig->guests[0], 1);
	ksm_rig_fill(&rig->guests[1], 1);
	ksm_rig_scan(rig);
	cr_assert_eq(ksm_rig_stats(rig).pages_sharing, PAGES);
	breaks_measure(&rig->memory, clock_now_ns());
}

/* As if guest 0 had broken a thousand pages in a second, on any machine. */
static void surge(struct ksm_rig *rig)
{
	struct space *space = rig->guests[0].space;
	u64 now = clock_now_ns() + NSEC_PER_SEC;

	breaks_measure(&rig->memory, now);
	breaks_measure_guest(space, now);
	atomic_fetch_add(&rig->memory.cow_breaks, RATE);
	atomic_fetch_add(&space->counters.cow_breaks, RATE);
	breaks_measure(&rig->memory, now + NSEC_PER_SEC);
	breaks_measure_guest(space, now + NSEC_PER_SEC);
	cr_assert_geq(rig->memory.break_rate.per_second, RATE);
}

/* Returns how many bytes. */
static u64 take_all_that_others_may(struct ksm_rig *rig)
{
	u64 taken = 0;

	while (budget_take(&rig->memory.budget, PAGE_SIZE, BUDGET_NORMAL))
		taken += PAGE_SIZE;
	return taken;
}

Test(ksm_breaks, the_reserve_follows_the_rate_of_breaks)
{
	struct ksm_rig rig;
	struct budget *budget = &rig.memory.budget;
	u64 low, now, reserve;

	start(&rig);
	cr_expect_eq(budget->breaks, 0);
	low = budget->low;
	surge(&rig);
	reserve = budget->breaks;
	cr_expect_eq(reserve, RATE * PAGE_SIZE);
	cr_expect_eq(budget->low, low + reserve);
	cr_expect_eq(ksm_rig_stats(&rig).break_reserve, reserve);
	/* Nobody writes any more: it goes, but not at once. */
	now = clock_now_ns() + 2 * NSEC_PER_SEC;
	breaks_measure(&rig.memory, now + 200 * NSEC_PER_MSEC);
	cr_expect_gt(budget->breaks, reserve / 2);
	breaks_measure(&rig.memory, now + 60 * NSEC_PER_SEC);
	cr_expect_lt(budget->breaks, reserve / 8);
	ksm_rig_stop(&rig);
}

Test(ksm_breaks, what_cannot_be_broken_needs_no_reserve)
{
	struct ksm_rig rig;

	start(&rig);
	surge(&rig);
	cr_expect_gt(rig.memory.budget.breaks, 0);
	ksm_unmerge(rig.ksm);
	breaks_measure(&rig.memory, clock_now_ns() + 3 * NSEC_PER_SEC);
	cr_expect_eq(rig.memory.budget.breaks, 0);
	ksm_rig_stop(&rig);
}

struct writer {
	struct ksm_rig *rig;
	u64 from, count;
};

static void *write_pages(void *argument)
{
	struct writer *writer = argument;

	for (u64 i = 0; i < writer->count; i++)
		ksm_rig_write(&writer->rig->guests[0], writer->from + i, 3);
	return NULL;
}

/* A guest has broken a few pages; then others take all memory they can get; then it breaks more. Returns whether
 * its breaks came through. */
static bool break_at_the_edge(void)
{
	struct ksm_rig rig;
	struct writer writer = {.rig = &rig, .from = 100, .count = 200};
	pthread_t thread;
	bool failed;
	u64 taken;

	start(&rig);
	surge(&rig);
	taken = take_all_that_others_may(&rig);
	pthread_create(&thread, NULL, write_pages, &writer);
	for (u32 i = 0; i < 30000 && !rig.guests[0].failed &&
			ksm_rig_stats(&rig).cow_breaks < RATE + writer.count;
	     i++)
		usleep(1000);
	failed = rig.guests[0].failed;
	budget_give(&rig.memory.budget, taken);
	if (failed)
		mem_guest_end(&rig.guests[0]);
	pthread_join(thread, NULL);
	cr_expect(!rig.guests[1].failed);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	ksm_rig_stop(&rig);
	return !failed;
}

Test(ksm_breaks, a_guest_at_the_edge_of_the_budget_breaks_on_the_reserve)
{
	cr_expect(break_at_the_edge());
}

Test(ksm_breaks, without_a_reserve_it_is_stopped)
{
	breaks_test_no_reserve = true;
	cr_expect_not(break_at_the_edge());
	breaks_test_no_reserve = false;
}

/* Leaves so much of the budget free. Returns what it took for that. */
static u64 leave_free(struct ksm_rig *rig, u64 bytes)
{
	struct budget *budget = &rig->memory.budget;
	u64 taken = budget_free(budget) - bytes;

	cr_assert(budget_take(budget, taken, BUDGET_NORMAL));
	return taken;
}

/* What cannot be evicted is missed by nobody while memory is plenty, and then by all. */
Test(ksm_breaks, private_pages_are_bounded_by_what_is_free, .timeout = 30)
{
	struct ksm_rig rig;
	u64 limit, taken;

	start(&rig);
	limit = rig.memory.budget.limit;
	cr_expect_eq(unshare_room(&rig.memory), limit / 8 / PAGE_SIZE);
	for (u64 i = 0; i < WRITTEN; i++)
		ksm_rig_write(&rig.guests[0], i, 3);
	cr_expect_eq(atomic_load(&rig.memory.private_pages), WRITTEN);
	cr_expect_eq(ksm_rig_stats(&rig).break_waits, 0);
	cr_expect_not(unshare_must_wait(rig.guests[0].space));
	cr_expect_not(home_presses(&rig.memory));

	taken = leave_free(&rig, limit / 4 + 100 * PAGE_SIZE);
	cr_expect_eq(unshare_room(&rig.memory), limit / 32 / PAGE_SIZE + 100);
	cr_expect_not(unshare_must_wait(rig.guests[0].space));
	cr_expect(home_presses(&rig.memory));
	taken += leave_free(&rig, limit / 4);
	cr_expect_eq(unshare_room(&rig.memory), limit / 32 / PAGE_SIZE);
	cr_expect(unshare_must_wait(rig.guests[0].space));
	cr_expect_not(unshare_must_wait(rig.guests[1].space));
	budget_give(&rig.memory.budget, taken);
	cr_expect_not(unshare_must_wait(rig.guests[0].space));

	atomic_store(&rig.guests[0].space->entitlement.limit, 1);
	cr_expect(unshare_must_wait(rig.guests[0].space), "it has more than its limit");
	atomic_store(&rig.guests[0].space->entitlement.limit, UINT64_MAX);
	ksm_rig_stop(&rig);
}

/* Whether a round begins when the last did so long ago. */
static bool goes_home(struct ksm_rig *rig, u64 since_ns)
{
	rig->ksm->home = (struct home_round){.began_ns = clock_now_ns() - since_ns};
	home_consider(rig->ksm);
	return rig->ksm->home.under_way;
}

Test(ksm_breaks, while_memory_is_plenty_pages_come_home_seldom)
{
	struct ksm_rig rig;
	u64 taken;

	start(&rig);
	for (u64 i = 0; i < 300; i++)
		ksm_rig_write(&rig.guests[0], i, 3);
	cr_expect_not(goes_home(&rig, NSEC_PER_SEC));
	cr_expect(goes_home(&rig, 6 * NSEC_PER_SEC));
	taken = leave_free(&rig, rig.memory.budget.limit / 4);
	cr_expect(goes_home(&rig, NSEC_PER_SEC));
	budget_give(&rig.memory.budget, taken);
	ksm_rig_stop(&rig);
}

static void wait_till_home(struct ksm_rig *rig)
{
	while (atomic_load(&rig->memory.private_pages))
		usleep(1000);
}

/* However much memory the host has: its pages cannot be evicted where they are. */
Test(ksm_breaks, what_a_guest_wrote_comes_home_when_it_shall_give_memory, .timeout = 60)
{
	const struct ksm_rig_options options = {.bytes = BYTES, .budget = 64 * MiB, .swap = true};
	struct reclaimer *reclaimers[] = {NULL, NULL};
	struct reclaim *reclaim;
	struct clock *clock;
	struct ksm_rig rig;
	struct space *space;

	ksm_rig_start(&rig, &options);
	ksm_rig_fill(&rig.guests[0], 1);
	ksm_rig_fill(&rig.guests[1], 1);
	ksm_rig_scan(&rig);
	cr_assert_eq(ksm_rig_stats(&rig).pages_sharing, PAGES);
	cr_assert_eq(ksm_start(rig.ksm), 0);
	/* The next round begins seconds after the first. */
	ksm_rig_write(&rig.guests[0], 0, 3);
	wait_till_home(&rig);
	for (u64 i = 1; i <= WRITTEN; i++)
		ksm_rig_write(&rig.guests[0], i, 3);
	clock = clock_create(&rig.memory);
	reclaimers[0] = clock_reclaimer(clock);
	cr_assert_eq(reclaim_create(&rig.memory, reclaimers, 1000, &reclaim), 0);
	space = rig.guests[0].space;
	cr_expect_geq(reclaim_from(reclaim, space, WRITTEN * PAGE_SIZE,
				   clock_now_ns() + 30 * NSEC_PER_SEC),
		      WRITTEN * PAGE_SIZE);
	cr_expect_lt(atomic_load(&space->counters.private), GROUP_PAGES);
	for (u64 i = 0; i < PAGES; i++)
		cr_assert(ksm_rig_check(&rig.guests[0], i, i <= WRITTEN ? 3 : 1), "page %lu", i);
	reclaim_destroy(reclaim);
	clock_destroy(clock);
	ksm_rig_stop(&rig);
}

/* Free memory falls below what is kept for breaks: who breaks fast is held up, who does not is not. */
Test(ksm_breaks, a_surge_is_held_up_until_there_is_memory)
{
	struct ksm_rig rig;
	struct writer writer = {.rig = &rig, .from = 100, .count = 100};
	struct budget *budget = &rig.memory.budget;
	pthread_t thread;
	u64 taken, before;

	start(&rig);
	surge(&rig);
	taken = budget_free(budget) - budget->min - budget->breaks / 4;
	budget_charge(budget, taken);
	cr_assert(breaks_surge(rig.guests[0].space));
	cr_expect_not(breaks_surge(rig.guests[1].space), "it did nothing");
	ksm_rig_write(&rig.guests[1], 0, 1);
	cr_expect_eq(ksm_rig_stats(&rig).break_waits, 0);
	before = ksm_rig_stats(&rig).cow_breaks;
	pthread_create(&thread, NULL, write_pages, &writer);
	while (!ksm_rig_stats(&rig).break_waits)
		usleep(1000);
	budget_give(budget, taken);
	pthread_join(thread, NULL);
	cr_expect_geq(ksm_rig_stats(&rig).cow_breaks, before + writer.count);
	cr_expect_gt(ksm_rig_stats(&rig).break_wait_us, 0);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect(!rig.guests[i].failed, "%s", rig.guests[i].why);
	ksm_rig_stop(&rig);
}
