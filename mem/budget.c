/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One counter that every allocation of the host passes through, from many threads and often inside
 * a fault: so no lock, a compare-and-swap that either takes all or nothing. The counter guards no
 * other data, hence relaxed ordering throughout.
 */
#include "mem/budget.h"

#include <assert.h>

void budget_init(struct budget *budget, u64 limit)
{
	u64 min = MAX(1 * MiB, MIN(limit / 64, 64 * MiB));

	*budget = (struct budget){.limit = limit, .min = min, .low = 2 * min, .high = 3 * min};
}

static void budget_press(struct budget *budget)
{
	if (budget->pressed)
		budget->pressed(budget);
}

/* What follows every growth of `used`: remember the peak, wake reclaim. */
static void budget_grown(struct budget *budget, u64 used)
{
	u64 peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);

	while (used > peak &&
	       !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used,
						      memory_order_relaxed, memory_order_relaxed))
		;
	if (used > budget->limit || budget->limit - used < budget->low)
		budget_press(budget);
}

bool budget_take(struct budget *budget, u64 bytes, enum budget_class class)
{
	u64 reserve = class == BUDGET_RECLAIM ? 0 : MIN(budget->min, budget->limit);
	u64 ceiling = budget->limit - reserve;
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

	return used < budget->limit ? budget->limit - used : 0;
}
