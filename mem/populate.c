/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/populate.h"

#include <fcntl.h>

#include "mem/entitlement.h"
#include "mem/fill.h"
#include "mem/guard.h"
#include "mem/uffd.h"

static bool untouched(struct space *space, u64 first)
{
	const struct region *region = space_region(space, first);
	bool zero = region->mapping == REGION_ARMED && !region->resident && !region->held;

	for (u64 i = first; i < first + REGION_PAGES && zero; i++)
		zero = page_word_state(page_table_read(&space->table, i)) == PAGE_ZERO;
	return zero;
}

static bool hold_region(struct space *space, u64 first)
{
	struct region *region = space_region(space, first);
	bool held;

	pthread_mutex_lock(&region->lock);
	held = untouched(space, first);
	for (u64 i = first; i < first + REGION_PAGES && held; i++)
		page_hold(&space->table, i);
	if (held)
		region->held = REGION_PAGES;
	pthread_mutex_unlock(&region->lock);
	return held;
}

/* One touch allocates the huge page, zeroed; where there was none to have, each touch allocates a small
 * one. The file may be shorter than it was. */
static bool touch_region(struct space *space, u64 first)
{
	u8 *alias = space->alias + first * PAGE_SIZE;
	struct guard guard;

	guard_begin(&guard, alias, REGION_SIZE);
	for (u64 i = 0; i < REGION_PAGES; i++)
		(void)*(volatile u8 *)(alias + i * PAGE_SIZE);
	if (!guard_end(&guard))
		return true;
	fallocate(space->options.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)(first * PAGE_SIZE), REGION_SIZE);
	space_fail(space,
		   "its RAM file cannot be written at offset %lu: the VMM or another process cut "
		   "it short, or its memory is broken",
		   first * PAGE_SIZE);
	return false;
}

/* Ends hold_region(): all pages resident and the guest's, or all as they were. */
static void release_region(struct space *space, u64 first, bool populated)
{
	struct region *region = space_region(space, first);

	pthread_mutex_lock(&region->lock);
	for (u64 i = first; i < first + REGION_PAGES; i++) {
		if (populated)
			page_set(&space->table, i, page_word(PAGE_RESIDENT, 0));
		page_release(&space->table, i);
	}
	region->held = 0;
	if (populated) {
		region->resident = REGION_PAGES;
		region->huge = region->large = true;
		region_make_whole(space, first);
	}
	/* With minor faults it would fault once for each page. What cannot be mapped now is mapped when it is touched. */
	if (populated && space->options.removes)
		uffd_continue(space->options.uffd, space_hva(space, first), REGION_SIZE);
	uffd_wake(space->options.uffd, space_hva(space, first), REGION_SIZE);
	pthread_mutex_unlock(&region->lock);
}

bool populate_region(struct space *space, u64 fault, u64 began)
{
	struct budget *budget = &space->memory->budget;
	u64 first = ALIGN_DOWN(fault, REGION_PAGES);
	bool populated = false;

	if (!space->memory->huge_pages ||
	    atomic_load_explicit(&space->failed, memory_order_relaxed) ||
	    budget_free(budget) < budget->low + REGION_SIZE ||
	    entitlement_is_full(space, REGION_PAGES) ||
	    !budget_take(budget, REGION_SIZE, BUDGET_NORMAL))
		return false;
	if (hold_region(space, first)) {
		populated = touch_region(space, first);
		release_region(space, first, populated);
	}
	if (populated)
		fill_record_latency(space, fault, PAGE_ZERO, began);
	else
		budget_give(budget, REGION_SIZE);
	return populated;
}
