/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/unshare.h"

#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/breaks.h"
#include "mem/entitlement.h"
#include "mem/fill.h"
#include "mem/sharing.h"
#include "mem/uffd.h"

#define AWAY_LEAST  256U /* pages that any guest may have away from home */
#define AWAY_SHARE  32U	 /* ... or this part of the budget, all guests together, */
#define AWAY_MOST   8U	 /* and what is free beyond a quarter, up to this part */
#define WAIT_MAX_NS (5 * NSEC_PER_SEC)

static u64 pages_of_budget(const struct memory *memory, u64 part)
{
	return atomic_load_explicit(&memory->budget.limit, memory_order_relaxed) / part / PAGE_SIZE;
}

u64 unshare_room(const struct memory *memory)
{
	return MIN(pages_of_budget(memory, AWAY_SHARE) + budget_spare(&memory->budget) / PAGE_SIZE,
		   pages_of_budget(memory, AWAY_MOST));
}

/* One guest alone may use all of the share; others that surge at the same time halve what is left. What is free is of no use
 * to a guest that is at its limit. */
bool unshare_must_wait(const struct space *space)
{
	const struct memory *memory = space->memory;
	u64 away = atomic_load_explicit(&space->counters.private, memory_order_relaxed);
	u64 all = atomic_load_explicit(&memory->private_pages, memory_order_relaxed);

	return away > AWAY_LEAST &&
	       all > (entitlement_is_full(space, 0) ? pages_of_budget(memory, AWAY_SHARE)
						    : unshare_room(memory));
}

/* Whether a page is shared and mapped, and nobody works on it. */
static bool breakable(struct space *space, u64 index)
{
	struct page_word word = page_table_read(&space->table, index);

	return !page_word_busy(word) && page_word_foreign(word) &&
	       page_word_state(word) == PAGE_SHARED;
}

static bool was_broken(struct space *space, u64 index)
{
	struct page_word word = page_table_read(&space->table, index);

	return page_word_foreign(word) && page_word_state(word) == PAGE_RESIDENT &&
	       page_word_shares(word);
}

/* How many pages from `index` on go together. A hint: nothing is locked. */
static u64 span(struct space *space, u64 index)
{
	u64 end = ALIGN_DOWN(index, GROUP_PAGES) + GROUP_PAGES, count = 1;

	if (index % REGION_PAGES == 0 || !was_broken(space, index - 1))
		return 1;
	while (index + count < end && breakable(space, index + count))
		count++;
	return count;
}

/* The page keeps its frame, and the reference to it, until it is home again: what the VMM has mapped there
 * may still be the frame. Region's lock held. */
static void make_private(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);
	struct page_word word = page_table_read(&space->table, index);

	page_hold(&space->table, index);
	page_set(&space->table, index, page_word(PAGE_RESIDENT, page_word_payload(word)));
	page_release(&space->table, index);
	region->resident++;
	region->private ++;
	atomic_fetch_add(&space->counters.cow_breaks, 1);
	atomic_fetch_add(&space->memory->cow_breaks, 1);
	atomic_fetch_add(&space->counters.private, 1);
	atomic_fetch_add(&space->memory->private_pages, 1);
}

/* A break under way: the frames are held, so that what the kernel copies is there. */
struct breaking {
	struct space *space;
	u64 index, count;
	u64 payloads[GROUP_PAGES];
};

/* Holds the frames of what is still to be broken. Returns false when there is none of that. */
static bool hold_frames(struct breaking *breaking)
{
	struct space *space = breaking->space;
	struct sharing *sharing = space->memory->sharing;
	struct region *region = space_region(space, breaking->index);
	u64 i = 0;

	pthread_mutex_lock(&region->lock);
	for (; i < breaking->count && breakable(space, breaking->index + i); i++) {
		breaking->payloads[i] =
			page_word_payload(page_table_read(&space->table, breaking->index + i));
		sharing->ops->hold(sharing, breaking->payloads[i], 1);
	}
	pthread_mutex_unlock(&region->lock);
	breaking->count = i;
	return i;
}

static int bring_frames(struct breaking *breaking)
{
	struct sharing *sharing = breaking->space->memory->sharing;
	int result = 0;

	for (u64 i = 0; i < breaking->count && !result; i++)
		result = sharing->ops->bring(sharing, breaking->payloads[i], 1, true);
	return result;
}

static bool unchanged(const struct breaking *breaking, u64 i)
{
	u64 index = breaking->index + i;

	return breakable(breaking->space, index) &&
	       page_word_payload(page_table_read(&breaking->space->table, index)) ==
		       breaking->payloads[i];
}

/* Breaks what can be broken; that keeps its frames. Returns how many pages. */
static u64 let_write(struct breaking *breaking)
{
	struct space *space = breaking->space;
	struct region *region = space_region(space, breaking->index);
	u64 hva = space_hva(space, breaking->index), done = 0;

	pthread_mutex_lock(&region->lock);
	while (done < breaking->count && unchanged(breaking, done))
		make_private(space, breaking->index + done++);
	if (!done || uffd_unprotect(space->options.uffd, hva, done * PAGE_SIZE))
		uffd_wake(space->options.uffd, hva, PAGE_SIZE);
	pthread_mutex_unlock(&region->lock);
	return done;
}

/* Memory has been taken for breaking->count pages. Returns how many took it. */
static u64 break_pages(struct breaking *breaking)
{
	struct space *space = breaking->space;
	struct sharing *sharing = space->memory->sharing;
	u64 done = 0;
	int result;

	if (!hold_frames(breaking)) {
		uffd_wake(space->options.uffd, space_hva(space, breaking->index), PAGE_SIZE);
		return 0;
	}
	result = bring_frames(breaking);
	if (result)
		space_fail(space, "page %lu, which it shares, cannot be brought back: %s",
			   breaking->index, strerror(-result));
	else
		done = let_write(breaking);
	for (u64 i = done; i < breaking->count; i++)
		sharing->ops->release(sharing, breaking->payloads[i], 1);
	return done;
}

/* Whether as many are home, of the pages that were private then, as all guests may write at once: enough to go on, for when
 * others have taken what was free the bound may be far below. */
static bool some_came_home(const struct memory *memory, u64 private)
{
	u64 guests = atomic_load_explicit(&memory->slots_used, memory_order_relaxed);

	return atomic_load(&memory->private_pages) + guests * GROUP_PAGES <= private;
}

/* `private`: pages of all guests when the wait began. */
static bool must_wait(const struct space *space, u64 private)
{
	return !breaks_test_no_waits && !atomic_load(&space->failed) &&
	       !atomic_load(&space->remap.gone) &&
	       ((unshare_must_wait(space) && !some_came_home(space->memory, private)) ||
		breaks_surge(space));
}

/* A guest that has too much away from home, or breaks faster than there is memory for, waits. Not for ever: then it
 * competes for what there is as any fault does. */
static void wait_for_room(struct space *space)
{
	struct memory *memory = space->memory;
	u64 began, now, private = atomic_load(&memory->private_pages);

	breaks_measure_guest(space, clock_now_ns());
	if (!must_wait(space, private))
		return;
	began = now = clock_now_ns();
	atomic_fetch_add_explicit(&memory->break_waits, 1, memory_order_relaxed);
	while (must_wait(space, private) && now - began < WAIT_MAX_NS) {
		memory->sharing->ops->bring_home(memory->sharing);
		if (memory->budget.pressed)
			memory->budget.pressed(&memory->budget);
		usleep(1000);
		now = clock_now_ns();
		breaks_measure(memory, now);
		breaks_measure_guest(space, now);
	}
	atomic_fetch_add_explicit(&memory->break_wait_ns, now - began, memory_order_relaxed);
}

void unshare_for_write(struct space *space, u64 index, u64 began)
{
	struct memory *memory = space->memory;
	struct breaking breaking = {.space = space, .index = index};
	u64 taken;

	wait_for_room(space);
	taken = span(space, index);
	if (taken == 1 || !budget_take(&memory->budget, taken * PAGE_SIZE, BUDGET_BREAK)) {
		taken = 1;
		if (fill_take_frame(space, index, BUDGET_BREAK))
			return;
	}
	breaking.count = taken;
	budget_give(&memory->budget, (taken - break_pages(&breaking)) * PAGE_SIZE);
	breaks_measure(memory, began);
	fill_record_latency(space, index, PAGE_SHARED, began);
}
