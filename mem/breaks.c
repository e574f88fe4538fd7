/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/breaks.h"

#include "lib/clock.h"
#include "mem/memory.h"
#include "mem/space.h"

#define WINDOW_NS   (100 * NSEC_PER_MSEC)
#define WINDOWS_MAX 256U /* nothing is left of a rate after so many */
#define FALL	    64U	 /* of the difference, a part so large goes each window */
#define SHARE	    16U	 /* of the budget, at most */
#define SURGE_LEAST 256U /* breaks a second that nobody is held up for */

bool breaks_test_no_reserve;
bool breaks_test_no_waits;

static u64 fall(u64 rate, u64 to, u64 windows)
{
	for (u64 i = 0; i < MIN(windows, WINDOWS_MAX) && rate > to; i++)
		rate -= MAX((rate - to) / FALL, 1UL);
	return rate;
}

/* Returns false when the window is not over, or somebody else has just ended it. */
static bool measure(struct break_rate *rate, const _Atomic u64 *count, u64 now_ns)
{
	u64 began = atomic_load_explicit(&rate->began_ns, memory_order_relaxed), total, seen, fresh,
	    old;

	if (now_ns < began + WINDOW_NS ||
	    !atomic_compare_exchange_strong(&rate->began_ns, &began, now_ns))
		return false;
	total = atomic_load(count);
	seen = atomic_exchange(&rate->seen, total);
	old = atomic_load(&rate->per_second);
	/* The first window began when nobody looked. */
	fresh = began && total > seen ? (total - seen) * NSEC_PER_SEC / (now_ns - began) : 0;
	atomic_store(&rate->per_second,
		     fresh > old ? fresh : fall(old, fresh, (now_ns - began) / WINDOW_NS));
	return true;
}

static void size_reserve(struct memory *memory)
{
	u64 foreign = atomic_load(&memory->foreign_pages);
	u64 broken = atomic_load(&memory->private_pages) + atomic_load(&memory->own_pages);
	u64 pages = MIN(atomic_load(&memory->break_rate.per_second),
			foreign > broken ? foreign - broken : 0);
	u64 bytes = MIN(pages * PAGE_SIZE, atomic_load(&memory->budget.limit) / SHARE);

	if (!breaks_test_no_reserve && bytes != atomic_load(&memory->budget.breaks))
		budget_set_breaks(&memory->budget, bytes);
}

void breaks_measure(struct memory *memory, u64 now_ns)
{
	if (measure(&memory->break_rate, &memory->cow_breaks, now_ns))
		size_reserve(memory);
}

void breaks_measure_guest(struct space *space, u64 now_ns)
{
	measure(&space->counters.break_rate, &space->counters.cow_breaks, now_ns);
}

bool breaks_surge(const struct space *space)
{
	struct memory *memory = space->memory;
	const struct budget *budget = &memory->budget;
	u64 reserve = atomic_load_explicit(&budget->breaks, memory_order_relaxed);
	u64 min = atomic_load_explicit(&budget->min, memory_order_relaxed);
	u64 all = atomic_load_explicit(&memory->break_rate.per_second, memory_order_relaxed);
	u64 own =
		atomic_load_explicit(&space->counters.break_rate.per_second, memory_order_relaxed);
	u32 guests = atomic_load_explicit(&memory->slots_used, memory_order_relaxed);

	return budget_free(budget) < min + reserve / 2 && own > SURGE_LEAST &&
	       own > all / 2 / guests;
}
