/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One counter that every allocation of the host passes through, from many threads and often inside
 * a fault: so no lock, a compare-and-swap that either takes all or nothing. The counter guards no
 * other data, hence relaxed ordering throughout.
 */
#include "mem/budget.h"

#include <assert.h>

/* While this part of the limit is free, memory is plenty. */
#define PLENTY 4

/* This part of the last reserve nobody takes, for what is charged because it cannot be refused is mostly small. */
#define CHARGES_PART 8

/* What reclaim can always take: some slabs of the pool, with which it frees more. Charges that are smaller have
 * their part of the reserve, and come out of reclaim's beyond that: it is at work then, and gives them back. */
#define FOOTHOLD_BYTES (256 * KiB)

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

/* Nobody reads them together: each is a bound that is true by itself. */
static void set_watermarks(struct budget *budget, u64 min)
{
	u64 breaks = atomic_load(&budget->breaks);

	atomic_store(&budget->min, min);
	atomic_store(&budget->low, 2 * min + breaks);
	atomic_store(&budget->high, 3 * min + breaks);
}

static void raise_charged(struct budget *budget, u64 used)
{
	u64 charged = atomic_load_explicit(&budget->charged_to, memory_order_relaxed);

	while (used > charged && !atomic_compare_exchange_weak_explicit(
					 &budget->charged_to, &charged, used, memory_order_relaxed,
					 memory_order_relaxed))
		;
}

void budget_set_limit(struct budget *budget, u64 limit)
{
	set_watermarks(budget, min_of(limit));
	atomic_store(&budget->limit, limit);
	raise_charged(budget, atomic_load(&budget->used));
	if (budget_free(budget) < atomic_load(&budget->low))
		budget_press(budget);
}

void budget_set_breaks(struct budget *budget, u64 bytes)
{
	atomic_store(&budget->breaks, bytes);
	set_watermarks(budget, min_of(atomic_load(&budget->limit)));
	if (budget_free(budget) < atomic_load(&budget->low))
		budget_press(budget);
}

/* What a taker must leave. */
static u64 reserve_for(const struct budget *budget, enum budget_class class)
{
	u64 min = atomic_load_explicit(&budget->min, memory_order_relaxed);

	switch (class) {
	case BUDGET_NORMAL:
		return min + atomic_load_explicit(&budget->breaks, memory_order_relaxed);
	case BUDGET_BREAK:
		return min;
	case BUDGET_SHARE:
		return min / 2;
	case BUDGET_RECLAIM:
		break;
	}
	return min / CHARGES_PART;
}

/* How far a taker may go. */
static u64 ceiling_for(const struct budget *budget, enum budget_class class)
{
	u64 limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);
	u64 charged = atomic_load_explicit(&budget->charged_to, memory_order_relaxed);
	u64 ceiling = limit - MIN(reserve_for(budget, class), limit);

	return class == BUDGET_RECLAIM ? MAX(ceiling, charged + FOOTHOLD_BYTES) : ceiling;
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
	u64 ceiling = ceiling_for(budget, class);
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

	if (bytes >= FOOTHOLD_BYTES)
		raise_charged(budget, before + bytes);
	budget_grown(budget, before + bytes);
}

void budget_give(struct budget *budget, u64 bytes)
{
	u64 charged = atomic_load_explicit(&budget->charged_to, memory_order_relaxed);
	u64 before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);

	assert(before >= bytes);
	/* Fails when there was a charge meanwhile: then that counts. */
	if (before - bytes < charged)
		atomic_compare_exchange_strong_explicit(&budget->charged_to, &charged,
							before - bytes, memory_order_relaxed,
							memory_order_relaxed);
}

u64 budget_free(const struct budget *budget)
{
	u64 used = atomic_load_explicit(&budget->used, memory_order_relaxed);
	u64 limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);

	return used < limit ? limit - used : 0;
}

u64 budget_spare(const struct budget *budget)
{
	u64 free = budget_free(budget);
	u64 kept = atomic_load_explicit(&budget->limit, memory_order_relaxed) / PLENTY;

	return free > kept ? free - kept : 0;
}
