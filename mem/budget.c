/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One counter that every allocation of the host passes through, from many threads and often inside
 * a fault: so no lock, a compare-and-swap that either takes all or nothing. The counter guards no
 * other data, hence relaxed ordering throughout.
 */
#include "mem/budget.h"

#include <assert.h>

static u64 min_of(u64 limit)
{
	return MAX(1 * MiB, MIN(limit / 64, 64 * MiB));
}

void budget_init(struct budget *budget, u64 limit)
{
	u64 min = min_of(limit);

	*budget = (struct budget){.limit = limit, .min = min, .low = 2 * min, .high = 3 * min};
}

static void budget_press(struct budget *budget)
{
	if (budget->pressed)
		budget->pressed(budget);
}

void budget_set_limit(struct budget *budget, u64 limit)
{
	u64 min = min_of(limit);

	/* Nobody reads the four together: each is a bound that is true by itself. */
	atomic_store(&budget->min, min);
	atomic_store(&budget->low, 2 * min);
	atomic_store(&budget->high, 3 * min);
	atomic_store(&budget->limit, limit);
	if (budget_free(budget) < 2 * min)
		budget_press(budget);
}

/* What follows every growth of `used`: remember the peak, wake reclaim. */
static void budget_grown(struct budget *budget, u64 used)
{
	u64 peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);
	u64 limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);

	while (used > peak &&
	       !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used,
						      memory_order_relaxed, memory_order_relaxed))
		;
	if (used > limit || limit - used < atomic_load_explicit(&budget->low, memory_order_relaxed))
		budget_press(budget);
}

bool budget_take(struct budget *budget, u64 bytes, enum budget_class class)
{
	u64 limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);
	u64 min = atomic_load_explicit(&budget->min, memory_order_relaxed);
	u64 ceiling = class == BUDGET_RECLAIM ? limit : limit - MIN(min, limit);
	u64 used = atomic_load_explicit(&budget->used, memory_order_relaxed);

	do {
		/* Written so that no hostile or mistaken `bytes` can wrap the sum. */
		if (used > ceiling || bytes > ceiling - used) {
			budget_press(budget);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&budget->used, &used, used + bytes, memory_order_relaxed, memory_order_relaxed));
	budget_grown(budget, used + bytes);
	return true;
}

void budget_charge(struct budget *budget, u64 bytes)
{
	u64 before = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);

	budget_grown(budget, before + bytes);
}

void budget_give(struct budget *budget, u64 bytes)
{
	u64 before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);

	assert(before >= bytes);
	(void)before;
}

u64 budget_free(const struct budget *budget)
{
	u64 used = atomic_load_explicit(&budget->used, memory_order_relaxed);
	u64 limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);

	return used < limit ? limit - used : 0;
}
