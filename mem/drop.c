/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/drop.h"

#include <assert.h>
#include <unistd.h>

#include "mem/remap.h"
#include "mem/source.h"
#include "mem/split.h"
#include "mem/uffd.h"

/* How long to wait for whoever holds a page: an eviction lets go of it within a group's time. */
#define BUSY_US 20

bool drop_test_skip_protect;

/* Pages of one region. */
struct drop {
	struct space *space;
	struct region *region;
	enum page_state to;
	u64 run; /* resident pages right before the one looked at */
	u64 freed, dropped;
	bool busy;    /* some were held by others */
	bool foreign; /* in the place of some a frame is mapped: left as they are */
};

static void set_state(struct page_table *table, u64 index, enum page_state state)
{
	page_hold(table, index);
	page_set(table, index, page_word(state, 0));
	page_release(table, index);
}

/* Pages that could not be split out of a large one are zero, and in memory still. */
static void keep_rest(struct drop *drop, u64 first)
{
	drop->busy = true;
	for (u64 i = first; i < first + drop->run; i++) {
		if (!region_has_rest(drop->space, i, 1))
			continue;
		set_state(&drop->space->table, i, PAGE_RESIDENT);
		drop->dropped--;
		drop->freed--;
	}
}

/* Punches the run that ends before `index`. */
static void end_run(struct drop *drop, u64 index)
{
	u64 first = index - drop->run;

	if (!drop->run)
		return;
	drop->freed += drop->run;
	if (!split_punch(drop->space, first, drop->run))
		keep_rest(drop, first);
	drop->run = 0;
}

static void forget_blob(const struct space *space, struct page_word word)
{
	struct page_source *source = space->memory->sources[page_word_state(word)];

	if (source)
		source->ops->invalidate(source, page_word_payload(word));
}

static void drop_page(struct drop *drop, u64 index)
{
	struct page_table *table = &drop->space->table;
	struct page_word word = page_table_read(table, index);
	enum page_state state = page_word_state(word);

	if (page_word_busy(word)) {
		page_wait(table, index);
		atomic_store_explicit(&drop->region->waited, true, memory_order_relaxed);
		drop->busy = true;
	}
	drop->foreign |= page_word_foreign(word);
	if (page_word_busy(word) || page_word_foreign(word) || state == drop->to ||
	    state == PAGE_BALLOONED) {
		end_run(drop, index);
		return;
	}
	if (state == PAGE_RESIDENT)
		drop->run++;
	else
		end_run(drop, index);
	set_state(table, index, drop->to);
	forget_blob(drop->space, word);
	drop->dropped++;
}

/* All in one stroke, which can always be done. */
static void drop_whole(struct drop *drop, u64 first)
{
	struct page_table *table = &drop->space->table;

	split_punch(drop->space, first, REGION_PAGES);
	drop->freed += drop->region->resident;
	drop->region->large = false;
	for (u64 i = first; i < first + REGION_PAGES; i++) {
		struct page_word word = page_table_read(table, i);

		if (page_word_state(word) == drop->to || page_word_state(word) == PAGE_BALLOONED)
			continue;
		set_state(table, i, drop->to);
		forget_blob(drop->space, word);
		drop->dropped++;
	}
}

/* Region's lock held. Returns false when it cannot be done. */
static bool drop_in_region(struct drop *drop, u64 first, u64 count)
{
	struct region *region = drop->region;

	if (region_arm(drop->space, first))
		return false;
	if (count == REGION_PAGES && !region->held && !region->foreign) {
		drop_whole(drop, first);
	} else {
		for (u64 i = first; i < first + count; i++)
			drop_page(drop, i);
		end_run(drop, first + count);
	}
	region->resident -= (u16)drop->freed;
	if (drop->freed)
		region->huge = false;
	return true;
}

/* Pages in whose place frames are mapped: only their VMM can take those away. */
static u64 drop_foreign(struct space *space, u64 first, u64 count, enum page_state to)
{
	s64 pages = remap_drop(space, first, count, to);

	return pages > 0 ? (u64)pages : 0;
}

static u64 drop_region(struct space *space, u64 first, u64 count, u32 to)
{
	u64 dropped = 0;
	bool again = true;

	while (again && !atomic_load_explicit(&space->failed, memory_order_relaxed)) {
		struct drop drop = {.space = space, .region = space_region(space, first), .to = to};

		pthread_mutex_lock(&drop.region->lock);
		again = drop_in_region(&drop, first, count) && (drop.busy || drop.foreign);
		pthread_mutex_unlock(&drop.region->lock);
		budget_give(&space->memory->budget, drop.freed * PAGE_SIZE);
		dropped +=
			drop.dropped + (drop.foreign ? drop_foreign(space, first, count, to) : 0);
		if (again)
			usleep(BUSY_US);
	}
	return dropped;
}

/* Does the work on the part of each region in turn. */
static u64 by_region(struct space *space, u64 first, u64 count, u32 argument,
		     u64 (*work)(struct space *space, u64 first, u64 count, u32 argument))
{
	u64 dropped = 0;

	assert(first + count <= space->table.pages);
	while (count && !atomic_load_explicit(&space->failed, memory_order_relaxed)) {
		u64 here = MIN(count, REGION_PAGES - first % REGION_PAGES);

		dropped += work(space, first, here, argument);
		first += here;
		count -= here;
	}
	atomic_fetch_add_explicit(&space->counters.dropped, dropped, memory_order_relaxed);
	return dropped;
}

u64 drop_pages(struct space *space, u64 first, u64 count, enum page_state to)
{
	return by_region(space, first, count, to, drop_region);
}

u64 drop_return(struct space *space, u64 first, u64 count)
{
	u64 returned = 0;

	assert(first + count <= space->table.pages);
	for (u64 i = first, end; i < first + count; i = end) {
		struct region *region = space_region(space, i);

		end = MIN(ALIGN_DOWN(i, REGION_PAGES) + REGION_PAGES, first + count);
		pthread_mutex_lock(&region->lock);
		for (; i < end; i++) {
			struct page_word word = page_table_read(&space->table, i);

			/* One that is busy is being filled: it was touched without waiting for us. */
			if (page_word_busy(word) || page_word_state(word) != PAGE_BALLOONED)
				continue;
			set_state(&space->table, i, PAGE_ZERO);
			returned++;
		}
		pthread_mutex_unlock(&region->lock);
	}
	return returned;
}

/* A mark of this question differs from those of the two before; an older one that does not only makes its
 * page wait for the next question. */
static u32 mark_of(u32 round)
{
	return 1 + round % 3;
}

static bool confirmed(struct page_word word, u32 round)
{
	return page_word_hint(word) && page_word_hint(word) != mark_of(round);
}

/* One call from the first to the last page that was marked: see freeze() in mem/evict.c. */
static int protect(struct space *space, u64 first, u64 count)
{
	if (drop_test_skip_protect)
		return 0;
	return uffd_protect(space->options.uffd, space_hva(space, first), count * PAGE_SIZE);
}

/* Not what is shared and mapped: that has no memory to give up. What is written there comes home before long. */
static bool can_be_marked(struct page_word word)
{
	return !page_word_busy(word) && !page_word_foreign(word) &&
	       page_word_state(word) != PAGE_ZERO && page_word_state(word) != PAGE_BALLOONED;
}

/* Drops what is confirmed, and says from where to where there are pages to mark. */
static void drop_confirmed(struct drop *drop, u64 first, u64 count, u32 round, u64 *low, u64 *high)
{
	const struct page_table *table = &drop->space->table;

	*low = *high = first;
	for (u64 i = first; i < first + count; i++) {
		struct page_word word = page_table_read(table, i);

		if (confirmed(word, round)) {
			drop_page(drop, i);
			continue;
		}
		end_run(drop, i);
		if (page_word_hint(word) || !can_be_marked(word))
			continue;
		if (*low == *high)
			*low = i;
		*high = i + 1;
	}
	end_run(drop, first + count);
}

static void mark(struct space *space, u64 low, u64 high, u64 first, u64 count, u32 round)
{
	if (low == high || protect(space, low, high - low))
		return;
	space_region(space, first)->hinted = true;
	for (u64 i = first; i < first + count; i++) {
		struct page_word word = page_table_read(&space->table, i);

		if (!can_be_marked(word))
			continue;
		page_hint(&space->table, i, mark_of(round));
	}
}

static u64 hint_region(struct space *space, u64 first, u64 count, u32 round)
{
	struct drop drop = {.space = space, .region = space_region(space, first), .to = PAGE_ZERO};
	u64 low, high;

	pthread_mutex_lock(&drop.region->lock);
	if (!region_arm(space, first)) {
		drop_confirmed(&drop, first, count, round, &low, &high);
		mark(space, low, high, first, count, round);
	}
	drop.region->resident -= (u16)drop.freed;
	if (drop.freed)
		drop.region->huge = false;
	pthread_mutex_unlock(&drop.region->lock);
	budget_give(&space->memory->budget, drop.freed * PAGE_SIZE);
	return drop.dropped;
}

u64 drop_hinted(struct space *space, u64 first, u64 count, u32 round)
{
	return by_region(space, first, count, round, hint_region);
}
