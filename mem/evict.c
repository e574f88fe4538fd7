/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/evict.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/bits.h"
#include "mem/entitlement.h"
#include "mem/guard.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/split.h"
#include "mem/uffd.h"

/* From so many holes in a region on, when so many pages stay for each. */
#define SCATTERED_LEAST 8U
#define SCATTERED_STAY	2U

bool evict_test_skip_protect;

/* One eviction under way: what becomes of each page of a region, by its place there. */
struct eviction {
	struct space *space;
	struct region *region;
	struct page_source *const *stores; /* who is asked, in this order; ends with NULL */
	const u64 *pages;		   /* which pages, a bit each; NULL: all */
	bool shares;			   /* not for want of memory */
	bool unmapped;			   /* the VMM has none of them mapped, as far as we know */
	u32 filled;			   /* pages that repeat one word */
	u32 storing;			   /* pages that have a place in the guest's swap_max */
	u64 first;			   /* of the region */
	u32 low, high;			   /* places: held pages lie in [low, high) */
	u32 error;			   /* why pages were not stored, the last reason */
	bool flush;			   /* some store finishes only with flush() */
	bool flushed;			   /* ... and that was called */
	bool in_place;			   /* the region is one huge page: read it where it is */
	bool damaged;			   /* its RAM file has lost the region */
	bool held[REGION_PAGES];
	struct page_word words[REGION_PAGES]; /* new words; RESIDENT: stays */
	_Alignas(64) u8 buffer[GROUP_PAGES * PAGE_SIZE];
};

static bool wanted(const struct eviction *ev, u32 place, u32 groups)
{
	struct page_word word = page_table_read(&ev->space->table, ev->first + place);

	if (ev->pages && !bits_have(ev->pages, place))
		return false;
	return groups >> (place / GROUP_PAGES) & 1 && !page_word_busy(word) &&
	       page_word_at_home(word);
}

/* Marks pages busy. Region's lock held. */
static void hold(struct eviction *ev, u32 from, u32 to, u32 groups)
{
	for (u32 i = from; i < to; i++) {
		if (!wanted(ev, i, groups))
			continue;
		page_hold(&ev->space->table, ev->first + i);
		ev->region->held++;
		ev->held[i] = true;
		ev->words[i] = page_word(PAGE_RESIDENT, 0);
		if (!ev->high)
			ev->low = i;
		ev->high = i + 1;
	}
}

/* Whether a page that is not ours may be protected with those around it: it is not in memory. */
static bool between(const struct eviction *ev, u32 place)
{
	struct page_word word = page_table_read(&ev->space->table, ev->first + place);

	return page_word_state(word) != PAGE_RESIDENT && !page_word_foreign(word);
}

/* The end of what one call protects from a held page on. */
static u32 freeze_end(const struct eviction *ev, u32 place)
{
	u32 end = place + 1;

	if (!ev->unmapped)
		return ev->high;
	while (end < ev->high && (ev->held[end] || between(ev, end)))
		end++;
	return end;
}

/*
 * Makes writes trap. Of pages that are mapped, in one call from the first to the last: one invalidation of the
 * guest's TLBs and shadow pages costs the same for one page or five hundred. What lies between and
 * is not ours merely takes a harmless extra fault. Of pages that are not there is nothing to invalidate, and what lies
 * between is what the guest uses: that is left alone.
 */
static int freeze(struct eviction *ev)
{
	int result = 0;

	if (evict_test_skip_protect)
		return 0;
	for (u32 i = ev->low, end; i < ev->high && !result; i = end) {
		end = i + 1;
		if (!ev->held[i])
			continue;
		end = freeze_end(ev, i);
		result = uffd_protect(ev->space->options.uffd, space_hva(ev->space, ev->first + i),
				      (end - i) * PAGE_SIZE);
	}
	/* The VMM has just mapped something there that is not registered yet (mem/remap.h). */
	return result == -ENOENT ? -EAGAIN : result;
}

/* By comparing it with itself one word further. */
bool evict_same_filled(const u8 *page)
{
	const u64 *words = (const u64 *)page;

	return words[0] == words[1] && words[0] == words[PAGE_SIZE / 8 - 1] &&
	       (u32)words[0] == words[0] >> 32 && !memcmp(page, page + 8, PAGE_SIZE - 8);
}

/*
 * Offers the page to the stores in turn. Returns 0 with its new word; -ENOSPC when the first, where
 * most pages go, is full; -E2BIG when that one does not want content like this and none of the others
 * has room for it, which says nothing about the next page, or when the guest is at its swap_max; or another
 * -errno. A shared frame is nobody's in particular, and in nobody's swap_max.
 */
static int store(struct eviction *ev, u32 place, const u8 *page)
{
	struct sharing *sharing = ev->space->memory->sharing;
	struct page_store request = {
		.owner = {ev->space->id, (u32)(ev->first + place)},
		.plain = page,
		.node = ev->space->options.node,
		.salt = ev->space->salt,
	};
	int result = -E2BIG;

	/* Not the frames of a domain whose guest this has become since it began: its VMM does not have those, and what is
	 * shared may be mapped one day. */
	if (!ev->shares && sharing && request.salt == ev->space->options.salt &&
	    sharing->ops->find(sharing, &request)) {
		ev->words[place] = page_word(PAGE_SHARED, request.payload);
		return 0;
	}
	if (!ev->shares && !entitlement_store(ev->space))
		return result;
	ev->storing += !ev->shares;
	for (u32 i = 0; ev->stores[i]; i++) {
		struct page_source *source = ev->stores[i];

		result = source->ops->store(source, &request);
		if (!result) {
			ev->words[place] = page_word(source->ops->state, request.payload);
			ev->flush |= source->ops->flush != NULL;
			return 0;
		}
		if (i && result == -ENOSPC)
			result = -E2BIG;
		if (result != -E2BIG)
			return result;
	}
	return result;
}

static void classify(struct eviction *ev, u32 place, const u8 *page)
{
	u32 pattern;
	int result;

	if (evict_same_filled(page)) {
		memcpy(&pattern, page, sizeof(pattern));
		ev->words[place] =
			pattern ? page_word(PAGE_SAME, pattern) : page_word(PAGE_ZERO, 0);
		ev->filled++;
		atomic_fetch_add_explicit(&ev->space->memory->same_filled, 1, memory_order_relaxed);
		return;
	}
	result = store(ev, place, page);
	if (result) {
		ev->error = (u32)-result;
		if (!ev->shares)
			atomic_fetch_add_explicit(&ev->space->memory->evict_refused, 1,
						  memory_order_relaxed);
	}
}

/* The content of a held run within a group: where one huge page holds it, in place; else copied, which
 * costs less than mapping small pages one by one. */
static const u8 *view(struct eviction *ev, u32 place, u32 count)
{
	u64 offset = (ev->first + place) * PAGE_SIZE;
	ssize_t bytes = count * PAGE_SIZE;

	if (ev->in_place)
		return ev->space->alias + offset;
	if (pread(ev->space->options.ram, ev->buffer, bytes, (off_t)offset) != bytes) {
		ev->damaged = true;
		return NULL;
	}
	return ev->buffer;
}

/* Takes back what was stored for a page that stays. */
static void unstore(struct eviction *ev, u32 place)
{
	struct page_word word = ev->words[place];
	struct page_source *source = ev->space->memory->sources[page_word_state(word)];

	if (source)
		source->ops->invalidate(source, page_word_payload(word));
	ev->words[place] = page_word(PAGE_RESIDENT, 0);
}

/* Whether the content of this place is on its way to a store that has not finished with it. */
static bool unflushed(const struct eviction *ev, u32 place)
{
	enum page_state state = page_word_state(ev->words[place]);
	const struct page_source *source = ev->space->memory->sources[state];

	return source && source->ops->flush && !ev->flushed;
}

/*
 * Gives pages that a guest waits for back to it, as they were: at once, because storing the others may
 * take milliseconds. Region's lock held.
 */
static void let_waited_go(struct eviction *ev)
{
	struct space *space = ev->space;

	atomic_store_explicit(&ev->region->waited, false, memory_order_relaxed);
	for (u32 i = ev->low; i < ev->high; i++) {
		u64 hva = space_hva(space, ev->first + i);

		if (!ev->held[i] || unflushed(ev, i) ||
		    !page_word_waiter(page_table_read(&space->table, ev->first + i)))
			continue;
		unstore(ev, i);
		region_forget_hints(space, ev->first + i, 1);
		ev->held[i] = false;
		ev->region->held--;
		ev->region->clean &= ~(1U << i / GROUP_PAGES);
		page_release(&space->table, ev->first + i);
		if (uffd_unprotect(space->options.uffd, hva, PAGE_SIZE))
			uffd_wake(space->options.uffd, hva, PAGE_SIZE);
		atomic_fetch_add_explicit(&space->memory->evict_cancelled, 1, memory_order_relaxed);
	}
}

static void look_for_waiters(struct eviction *ev)
{
	if (!atomic_load_explicit(&ev->region->waited, memory_order_relaxed))
		return;
	pthread_mutex_lock(&ev->region->lock);
	let_waited_go(ev);
	pthread_mutex_unlock(&ev->region->lock);
}

/* Finds a place for every held page that nobody asks for meanwhile. */
static void store_held(struct eviction *ev)
{
	for (u32 i = ev->low, end; i < ev->high && ev->error != ENOSPC && !ev->damaged; i = end) {
		const u8 *pages;
		u32 limit = MIN(ev->high, (u32)ALIGN_DOWN(i, GROUP_PAGES) + GROUP_PAGES);

		look_for_waiters(ev);
		end = i + 1;
		if (!ev->held[i])
			continue;
		while (end < limit && ev->held[end])
			end++;
		pages = view(ev, i, end - i);
		for (u32 j = i; j < end && pages && ev->error != ENOSPC; j++)
			classify(ev, j, pages + (j - i) * PAGE_SIZE);
	}
}

/* The same, in a region that is read where it is: its file may end before it does. No lock held. */
static void store_pages(struct eviction *ev)
{
	struct guard guard;

	if (ev->in_place)
		guard_begin(&guard, ev->space->alias + ev->first * PAGE_SIZE, REGION_SIZE);
	store_held(ev);
	if (ev->in_place)
		ev->damaged |= guard_end(&guard);
}

static void unstore_unflushed(struct eviction *ev)
{
	for (u32 i = ev->low; i < ev->high; i++) {
		struct page_source *source;

		if (!ev->held[i])
			continue;
		source = ev->space->memory->sources[page_word_state(ev->words[i])];
		if (source && source->ops->flush)
			unstore(ev, i);
	}
}

static void unstore_all(struct eviction *ev)
{
	for (u32 i = ev->low; i < ev->high; i++) {
		if (ev->held[i])
			unstore(ev, i);
	}
}

/* The file has lost the region, or a part of it: nothing that was read is worth keeping. */
static void fail_damaged(struct eviction *ev)
{
	unstore_all(ev);
	ev->error = ESRCH;
	space_fail(ev->space,
		   "its RAM file cannot be read at offset %lu: the VMM or another process "
		   "cut it short, or its memory is broken",
		   ev->first * PAGE_SIZE);
}

static void flush(struct eviction *ev)
{
	for (u32 i = 0; ev->stores[i]; i++) {
		struct page_source *source = ev->stores[i];
		int result;

		if (!source->ops->flush)
			continue;
		result = source->ops->flush(source);
		if (!result)
			continue;
		ev->error = (u32)-result;
		unstore_unflushed(ev);
	}
}

static void punch(struct eviction *ev, u32 from, u32 to)
{
	fallocate(ev->space->options.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)((ev->first + from) * PAGE_SIZE), (off_t)((to - from) * PAGE_SIZE));
}

static bool stays(const struct eviction *ev, u32 place)
{
	return place < ev->high && ev->held[place] &&
	       page_word_state(ev->words[place]) == PAGE_RESIDENT;
}

static bool goes(const struct eviction *ev, u32 place)
{
	return place < ev->high && ev->held[place] && !stays(ev, place);
}

/* Whether the RAM file will have the page of a place still. */
static bool remains(const struct eviction *ev, u32 place)
{
	return page_word_at_home(page_table_read(&ev->space->table, ev->first + place)) &&
	       !goes(ev, place);
}

/*
 * Of every two or three pages one goes. A hole in what a running guest has mapped interrupts its processors, 10 to 50 us,
 * and one for all of them does so once: for that it is cheaper to put back what stays.
 */
static bool scattered(const struct eviction *ev)
{
	u32 holes = 0, stay = 0;

	for (u32 i = 0; i < REGION_PAGES; i++) {
		holes += goes(ev, i) && !goes(ev, i + 1);
		stay += remains(ev, i);
	}
	return !ev->unmapped && holes >= SCATTERED_LEAST && stay <= holes * SCATTERED_STAY;
}

/*
 * A region, in large pages perhaps, of which something stays and something goes, as a whole. Region's lock held. Returns whether
 * what goes has left the file; when that cannot be done now of large pages, nothing goes any more.
 */
static bool split(struct eviction *ev)
{
	u64 stay[REGION_PAGES / 64] = {0}, held[REGION_PAGES / 64] = {0};
	bool some_stay = false, some_go = false;

	for (u32 i = 0; i < REGION_PAGES; i++) {
		some_go |= goes(ev, i);
		some_stay |= remains(ev, i);
		bits_put(stay, i, remains(ev, i));
		bits_put(held, i, ev->held[i]);
	}
	if (!some_stay || !some_go)
		return false;
	if (!split_region(ev->space, ev->first, stay, held))
		return true;
	if (ev->region->large)
		unstore_all(ev);
	return false;
}

/* The new states, and the memory back. Region's lock held. Returns how many pages went. */
static u32 commit(struct eviction *ev)
{
	struct page_table *table = &ev->space->table;
	bool gone = (ev->region->large || scattered(ev)) && split(ev);
	u32 freed = 0, run = 0;

	for (u32 i = ev->low; i <= ev->high; i++) {
		if (goes(ev, i)) {
			page_set(table, ev->first + i, ev->words[i]);
			run++;
		} else if (run) {
			if (!gone)
				punch(ev, i - run, i);
			freed += run;
			run = 0;
		}
	}
	ev->region->resident -= freed;
	if (freed)
		ev->region->huge = ev->region->large = false;
	if (freed && !ev->shares) {
		ev->region->evicted_at =
			(u32)(atomic_fetch_add(&ev->space->memory->evictions, freed) /
			      REGION_PAGES);
	}
	return freed;
}

/* Lets writes through again to the pages that stayed, and to no others: those between may be frozen by
 * another eviction. Should it fail, the next write traps once more and does it. */
static void thaw(struct eviction *ev)
{
	struct space *space = ev->space;
	u32 run = 0;

	for (u32 i = ev->low; i <= ev->high; i++) {
		if (stays(ev, i)) {
			ev->region->clean &= ~(1U << i / GROUP_PAGES);
			run++;
		} else if (run) {
			region_forget_hints(space, ev->first + i - run, run);
			uffd_unprotect(space->options.uffd, space_hva(space, ev->first + i - run),
				       run * PAGE_SIZE);
			run = 0;
		}
	}
}

/* Ends hold(). Region's lock held. */
static void release(struct eviction *ev)
{
	struct space *space = ev->space;
	bool waited = false;

	for (u32 i = ev->low; i < ev->high; i++) {
		if (!ev->held[i])
			continue;
		ev->region->held--;
		waited |= page_release(&space->table, ev->first + i);
	}
	if (ev->region->resident == REGION_PAGES && !ev->region->held)
		region_make_whole(space, ev->first);
	if (ev->region->mapping == REGION_ARMED)
		thaw(ev);
	if (waited)
		uffd_wake(space->options.uffd, space_hva(space, ev->first + ev->low),
			  (ev->high - ev->low) * PAGE_SIZE);
}

static u32 count_held(const struct eviction *ev)
{
	u32 count = 0;

	for (u32 i = ev->low; i < ev->high; i++)
		count += ev->held[i];
	return count;
}

/* Evicts what is wanted of the region's places [from, to). */
static s64 evict(struct eviction *ev, u32 from, u32 to, u32 groups)
{
	struct space *space = ev->space;
	u32 freed = 0, held;
	int result;

	if (atomic_load_explicit(&space->failed, memory_order_relaxed))
		return -ESRCH;
	pthread_mutex_lock(&ev->region->lock);
	result = region_arm(space, ev->first);
	hold(ev, from, to, result ? 0 : groups);
	held = count_held(ev);
	ev->in_place = ev->region->huge;
	if (held) {
		result = freeze(ev);
		if (result)
			release(ev);
	}
	pthread_mutex_unlock(&ev->region->lock);
	if (result || !held)
		return result ? result : -EAGAIN;

	store_pages(ev);
	if (ev->flush)
		flush(ev);
	ev->flushed = true;
	if (ev->damaged)
		fail_damaged(ev);

	pthread_mutex_lock(&ev->region->lock);
	let_waited_go(ev);
	freed = commit(ev);
	release(ev);
	pthread_mutex_unlock(&ev->region->lock);

	entitlement_stored(space, ev->storing);
	budget_give(&space->memory->budget, freed * PAGE_SIZE);
	return freed ? (s64)freed : ev->error ? -(s64)ev->error : -EAGAIN;
}

static s64 count_evicted(struct space *space, s64 freed)
{
	atomic_fetch_add_explicit(&space->counters.evicted, (u64)MAX(freed, 0),
				  memory_order_relaxed);
	return freed;
}

s64 evict_pages(struct space *space, u64 first, u64 count, u32 groups)
{
	struct eviction ev = {
		.space = space,
		.region = space_region(space, first),
		.stores = space->memory->stores,
		.first = ALIGN_DOWN(first, REGION_PAGES),
	};
	u32 from = (u32)(first - ev.first);

	assert(from + count <= REGION_PAGES);
	return count_evicted(space, evict(&ev, from, from + (u32)count, groups));
}

s64 evict_unmapped(struct space *space, u64 first, const u64 pages[REGION_PAGES / 64], bool *full)
{
	struct eviction ev = {
		.space = space,
		.region = space_region(space, first),
		.stores = space->memory->stores,
		.pages = pages,
		.unmapped = true,
		.first = first,
	};
	s64 freed = evict(&ev, 0, REGION_PAGES, UINT32_MAX);

	*full = ev.error == ENOSPC;
	return count_evicted(space, freed);
}

s64 evict_pages_to(struct space *space, u64 first, const u64 pages[REGION_PAGES / 64],
		   struct page_source *const *stores, u32 *filled)
{
	struct eviction ev = {
		.space = space,
		.region = space_region(space, first),
		.stores = stores,
		.pages = pages,
		.shares = true,
		.first = first,
	};
	s64 freed = evict(&ev, 0, REGION_PAGES, UINT32_MAX);

	*filled = ev.filled;
	return freed;
}
