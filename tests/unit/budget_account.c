/* SPDX-License-Identifier: Apache-2.0 */
/* The budget: all or nothing, the reserve, the watermarks, and the sums under many threads. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "mem/budget.h"

static _Atomic u32 presses;

static void count_press(struct budget *budget)
{
	(void)budget;
	atomic_fetch_add(&presses, 1);
}

/* What nobody takes of the smallest reserve. */
#define CHARGES (128 * KiB)

static struct budget make(u64 limit)
{
	struct budget budget;

	budget_init(&budget, limit);
	budget.pressed = count_press;
	return budget;
}

Test(budget_account, watermarks_follow_the_limit)
{
	struct budget budget = make(1 * GiB);

	cr_expect_eq(budget.min, 16 * MiB);
	cr_expect_eq(budget.low, 32 * MiB);
	cr_expect_eq(budget.high, 48 * MiB);
	cr_expect_eq(budget_free(&budget), 1 * GiB);
	budget = make(16 * MiB);
	cr_expect_eq(budget.min, 1 * MiB);
	budget = make(1024 * GiB);
	cr_expect_eq(budget.min, 64 * MiB);
}

Test(budget_account, a_normal_take_leaves_the_reserve_to_reclaim)
{
	struct budget budget = make(64 * MiB);

	cr_expect(budget_take(&budget, 63 * MiB, BUDGET_NORMAL));
	cr_expect_not(budget_take(&budget, 1, BUDGET_NORMAL));
	cr_expect(budget_take(&budget, 1 * MiB - CHARGES, BUDGET_RECLAIM));
	cr_expect_not(budget_take(&budget, 1, BUDGET_RECLAIM), "which leaves a part for charges");
	budget_charge(&budget, CHARGES);
	cr_expect_eq(budget_free(&budget), 0);
}

Test(budget_account, sharing_leaves_half_of_the_reserve_to_reclaim)
{
	struct budget budget = make(64 * MiB);

	cr_expect(budget_take(&budget, 63 * MiB, BUDGET_NORMAL));
	cr_expect(budget_take(&budget, 512 * KiB, BUDGET_SHARE));
	cr_expect_not(budget_take(&budget, 1, BUDGET_SHARE));
	cr_expect(budget_take(&budget, 512 * KiB - CHARGES, BUDGET_RECLAIM));
}

Test(budget_account, a_refused_take_takes_nothing)
{
	struct budget budget = make(64 * MiB);

	cr_expect_not(budget_take(&budget, 65 * MiB, BUDGET_RECLAIM));
	cr_expect_not(budget_take(&budget, UINT64_MAX, BUDGET_RECLAIM));
	cr_expect_eq(budget_free(&budget), 64 * MiB);
	cr_expect_eq(atomic_load(&budget.peak), 0);
}

Test(budget_account, a_limit_below_the_reserve_gives_nothing_to_normal_takers)
{
	struct budget budget = make(512 * KiB);

	cr_expect_not(budget_take(&budget, 1, BUDGET_NORMAL));
	cr_expect(budget_take(&budget, 512 * KiB - CHARGES, BUDGET_RECLAIM));
}

Test(budget_account, reclaim_is_called_below_low_and_when_refused)
{
	struct budget budget = make(64 * MiB);

	atomic_store(&presses, 0);
	cr_assert(budget_take(&budget, 62 * MiB, BUDGET_NORMAL));
	cr_expect_eq(atomic_load(&presses), 0, "exactly low is not below low");
	cr_assert(budget_take(&budget, PAGE_SIZE, BUDGET_NORMAL));
	cr_expect_eq(atomic_load(&presses), 1);
	cr_assert_not(budget_take(&budget, 8 * MiB, BUDGET_NORMAL));
	cr_expect_eq(atomic_load(&presses), 2);
}

Test(budget_account, a_charge_may_overdraw_and_then_nothing_is_free)
{
	struct budget budget = make(64 * MiB);

	budget_charge(&budget, 80 * MiB);
	cr_expect_eq(budget_free(&budget), 0);
	cr_expect_not(budget_take(&budget, 1, BUDGET_NORMAL));
	cr_expect_eq(atomic_load(&budget.peak), 80 * MiB);
	budget_give(&budget, 20 * MiB);
	cr_expect_eq(budget_free(&budget), 4 * MiB);
	cr_expect_eq(atomic_load(&budget.peak), 80 * MiB, "the peak stays");
}

#define THREADS 8
#define ROUNDS	20000

static _Atomic u32 excesses;

/* Takes random amounts, remembers what it holds, looks whether the total passes the limit. */
static void *take_and_give(void *argument)
{
	struct budget *budget = argument;
	u64 state = (u64)(uintptr_t)&state, held = 0;

	for (u32 i = 0; i < ROUNDS; i++) {
		u64 bytes;

		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		bytes = (state >> 40) % (4 * MiB);
		if (budget_take(budget, bytes, BUDGET_NORMAL))
			held += bytes;
		if (atomic_load(&budget->used) > budget->limit - budget->min)
			atomic_fetch_add(&excesses, 1);
		if (state >> 63 || i == ROUNDS - 1) {
			budget_give(budget, held);
			held = 0;
		}
	}
	return NULL;
}

Test(budget_account, threads_never_take_more_than_there_is)
{
	struct budget budget = make(64 * MiB);
	pthread_t threads[THREADS];

	/* On a loaded machine they may run one after the other, and none holds much. */
	for (u32 tries = 0; tries < 20 && atomic_load(&budget.peak) <= 32 * MiB; tries++) {
		for (u32 i = 0; i < THREADS; i++)
			cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
		for (u32 i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	cr_expect_eq(atomic_load(&excesses), 0);
	cr_expect_eq(atomic_load(&budget.used), 0);
	cr_expect_leq(atomic_load(&budget.peak), 63 * MiB);
	cr_expect_gt(atomic_load(&budget.peak), 32 * MiB);
}

Test(budget_account, a_lower_limit_presses_and_refuses_but_takes_nothing_away)
{
	struct budget budget;

	budget_init(&budget, GiB);
	cr_assert(budget_take(&budget, 900 * MiB, BUDGET_NORMAL));
	budget_set_limit(&budget, 512 * MiB);
	cr_expect_eq(budget.used, 900 * MiB);
	cr_expect_eq(budget.low, 2 * budget.min);
	cr_expect_eq(budget_free(&budget), 0);
	cr_expect_not(budget_take(&budget, PAGE_SIZE, BUDGET_NORMAL));
	budget_give(&budget, 500 * MiB);
	cr_expect_eq(budget_free(&budget), 112 * MiB);
	cr_expect(budget_take(&budget, PAGE_SIZE, BUDGET_NORMAL));
	budget_set_limit(&budget, 2 * GiB);
	cr_expect(budget_take(&budget, GiB, BUDGET_NORMAL));
}

/* Or a pool that holds nothing yet could not take its first page, and nothing would ever be freed. */
Test(budget_account, whatever_was_charged_reclaim_has_its_reserve)
{
	struct budget budget = make(64 * MiB);
	const u64 foothold = 256 * KiB;

	budget_charge(&budget, 100 * MiB);
	cr_expect(budget_take(&budget, foothold, BUDGET_RECLAIM));
	cr_expect_not(budget_take(&budget, 1, BUDGET_RECLAIM), "and no more than that");
	budget_give(&budget, 10 * MiB);
	cr_expect(budget_take(&budget, foothold, BUDGET_RECLAIM));
	cr_expect_not(budget_take(&budget, 1, BUDGET_RECLAIM), "it is on its way down");
	budget_give(&budget, budget.used);
	cr_expect(budget_take(&budget, 63 * MiB, BUDGET_NORMAL));
	budget_charge(&budget, budget.min);
	cr_expect(budget_take(&budget, foothold, BUDGET_RECLAIM), "a reserve that was eaten up counts, too");
	budget_give(&budget, budget.used);
	cr_expect(budget_take(&budget, 64 * MiB - CHARGES, BUDGET_RECLAIM));
	budget_charge(&budget, PAGE_SIZE);
	cr_expect_not(budget_take(&budget, PAGE_SIZE, BUDGET_RECLAIM), "a crumb is no charge");
}

Test(budget_account, a_limit_below_what_is_used_leaves_reclaim_its_reserve)
{
	struct budget budget = make(64 * MiB);

	cr_assert(budget_take(&budget, 60 * MiB, BUDGET_NORMAL));
	budget_set_limit(&budget, 32 * MiB);
	cr_expect(budget_take(&budget, 256 * KiB, BUDGET_RECLAIM));
	cr_expect_not(budget_take(&budget, 1, BUDGET_RECLAIM));
	cr_expect_not(budget_take(&budget, 1, BUDGET_NORMAL));
}
