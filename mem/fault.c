/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/fault.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/fill.h"
#include "mem/populate.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/split.h"
#include "mem/uffd.h"
#include "mem/unshare.h"

/* What all guests have is summed up once in so many faults. */
#define ASKED_PER_SUM 32U

/* So many loads that nobody waits for are under way for one guest. More would go stale, and hold up others. */
#define LOADS_AHEAD 4U
/* ... but for one who has a turn: then there is little else to hold up. */
#define LOADS_IN_TURN 16U

_Static_assert(2 * GROUP_PAGES <= FILL_PAGES, "what a fault claims of a window fits a fill");

struct fault {
	u64 index;
	u64 flags; /* UFFD_PAGEFAULT_FLAG_* */
};

/* A fault on a page that is not in memory. */
struct miss {
	u64 index;
	enum page_state state;
	u32 absent; /* pages of its region that are not in memory */
	u64 began;
};

/* Whether nobody works on a resident page of the RAM file, or, with `foreign`, of the VMM's own memory. */
static bool at_hand(struct space *space, u64 index, bool foreign)
{
	struct page_word word = page_table_read(&space->table, index);

	return !page_word_busy(word) && page_word_state(word) == PAGE_RESIDENT &&
	       page_word_foreign(word) == foreign;
}

/* The resident pages around `index`, within its group, that nobody works on: all in the RAM file, or all
 * not, because the kernel maps within one mapping. */
static void resident_around(struct space *space, u64 index, u64 *first, u64 *count)
{
	bool foreign = page_word_foreign(page_table_read(&space->table, index));
	u64 low = ALIGN_DOWN(index, GROUP_PAGES), high = low + GROUP_PAGES;
	u64 end = index;

	*first = index;
	while (end < high && at_hand(space, end, foreign))
		end++;
	while (*first > low && at_hand(space, *first - 1, foreign))
		(*first)--;
	*count = end - *first;
}

/* The file has no page where the descriptor says there is one. That is what is left when a VMM dropped
 * the memory itself, and then the page is zero; else it is lost. Region's lock held. */
static void lost_page(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);

	if (!space->options.removes) {
		space_fail(space,
			   "page %lu has vanished from its RAM file: the VMM or another "
			   "process dropped it",
			   index);
		return;
	}
	page_hold(&space->table, index);
	page_set(&space->table, index, page_word(PAGE_ZERO, 0));
	page_release(&space->table, index);
	region->resident--;
	budget_give(&space->memory->budget, PAGE_SIZE);
	uffd_wake(space->options.uffd, space_hva(space, index), PAGE_SIZE);
}

/* The page is here: let writes through, to its neighbours too; or map it, should it have come since the fault was read.
 * Region's lock held. */
static void map_resident(struct space *space, const struct fault *fault, u64 began)
{
	struct region *region = space_region(space, fault->index);
	int uffd = space->options.uffd;
	u64 first, count, hva;
	int result;

	resident_around(space, fault->index, &first, &count);
	/* Where it is looked at what is mapped, neighbours would look as if they were used. */
	if (!(fault->flags & (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_MINOR))) {
		first = fault->index;
		count = 1;
	}
	hva = space_hva(space, first);
	region_forget_hints(space, first, count);
	region->clean &= ~(1U << (fault->index % REGION_PAGES / GROUP_PAGES));
	if (region->watched && region->resident == REGION_PAGES && !region->held) {
		/* The scanner watched for this write; now the region is the kernel's again. */
		region_make_whole(space, fault->index);
		if (region->mapping == REGION_WHOLE)
			return;
	}
	if (fault->flags & UFFD_PAGEFAULT_FLAG_WP) {
		/* Refused while the VMM drops memory: the guest tries again then. */
		if (uffd_unprotect(uffd, hva, count * PAGE_SIZE))
			uffd_wake(uffd, hva, count * PAGE_SIZE);
	} else {
		result = uffd_continue(uffd, hva, count * PAGE_SIZE);
		if (result == -EFAULT || result == -ENOENT)
			result = uffd_continue(uffd, space_hva(space, fault->index), PAGE_SIZE);
		if (result == -EFAULT) {
			lost_page(space, fault->index);
			return;
		}
		uffd_wake(uffd, hva, count * PAGE_SIZE);
	}
	fill_record_latency(space, fault->index, PAGE_RESIDENT, began);
}

/* The part of a window that one fill takes, around the page of the fault. */
static void clip(struct readahead_window *window, u64 index)
{
	u64 end = window->first + window->count;

	if (window->count <= FILL_PAGES)
		return;
	if (index >= window->first + FILL_PAGES)
		window->first = ALIGN_DOWN(index, FILL_PAGES);
	window->count = MIN(end - window->first, (u64)FILL_PAGES);
}

/* Fills a window for the fault on one of its pages, and then, unasked, what of it is stored elsewhere.
 * True when the guest waits on, as for fill_window(). */
static bool fill_for(struct space *space, const struct readahead_window *window,
		     enum fill_class class, u64 index, u64 began)
{
	enum fill_class other = class == FILL_MEMORY ? FILL_DISK : FILL_MEMORY;

	bool waits = fill_window(space, window->first, window->count, class, index, began);

	if (class != FILL_ZERO && window->count > 1)
		fill_window(space, window->first, window->count, other, FILL_AHEAD, began);
	return waits;
}

/* What all guests have. Takes and gives back references. */
static void sum_up(struct memory *memory)
{
	u64 resident = memory_resident_pages(memory), stored = memory_stored_pages(memory);

	pthread_mutex_lock(&memory->sought_lock);
	sought_advance(&memory->sought, atomic_load(&memory->evictions), resident, stored);
	pthread_mutex_unlock(&memory->sought_lock);
}

/* Whether what is stored around a page is worth its place in memory. */
static bool is_sought(struct space *space, const struct miss *miss)
{
	struct memory *memory = space->memory;
	bool sought;

	if (atomic_fetch_add_explicit(&memory->sought_asked, 1, memory_order_relaxed) %
		    ASKED_PER_SUM ==
	    0)
		sum_up(memory);
	pthread_mutex_lock(&memory->sought_lock);
	sought = sought_here(&memory->sought, &space_region(space, miss->index)->sought,
			     miss->absent, &space->sought, space_stored_pages(space));
	pthread_mutex_unlock(&memory->sought_lock);
	return sought;
}

static void note_sought(struct space *space, u64 index, u64 pages)
{
	struct memory *memory = space->memory;

	pthread_mutex_lock(&memory->sought_lock);
	sought_note(&memory->sought, &space_region(space, index)->sought, &space->sought,
		    (u32)MIN(pages, (u64)GROUP_PAGES));
	pthread_mutex_unlock(&memory->sought_lock);
}

/* How much to bring back with a page that was stored. */
static struct readahead_window choose_window(struct space *space, const struct miss *miss)
{
	bool sought = is_sought(space, miss);
	u32 least = turns_has(space) ? TURN_PAGES : sought ? GROUP_PAGES : 0;
	struct readahead_window window = readahead_fault(&space->readahead, miss->index, least);

	note_sought(space, miss->index, window.count);
	return window;
}

/* The page is not here: bring it back, and with it what will be wanted next. True when the guest waits
 * on. */
static bool bring_back(struct space *space, const struct miss *miss)
{
	struct readahead *readahead = &space->readahead;
	enum fill_class class = fill_class_of(miss->state);
	struct readahead_window window, part;
	u64 index = miss->index, began = miss->began;
	bool waits;

	if (class != FILL_ZERO)
		turns_wait(space, began);
	if (readahead_claim(readahead, index, &part))
		return fill_for(space, &part, class, index, began);
	readahead->limit =
		atomic_load_explicit(&space->memory->readahead_pages, memory_order_relaxed);
	window = part = class == FILL_MEMORY || class == FILL_DISK
				? choose_window(space, miss)
				: readahead_fault(readahead, index, 0);
	if (class == FILL_ZERO && populate_region(space, index, began))
		return false;
	/* Neighbours cost little on disk, and nothing when they are zero: those come together. */
	if (class == FILL_MEMORY || class == FILL_SHARED)
		part = (struct readahead_window){.first = index, .count = 1};
	else
		clip(&part, index);
	waits = fill_for(space, &part, class, index, began);
	/* A page that nobody asked for stays shared. */
	if (class == FILL_SHARED)
		return waits;
	readahead_defer(readahead, window.first, part.first);
	readahead_defer(readahead, part.first + part.count, window.first + window.count);
	return waits;
}

bool fault_read_ahead(struct space *space)
{
	const struct budget *budget = &space->memory->budget;
	struct readahead_window piece;

	/* What is left then comes with the guest's next fault. */
	if (atomic_load(&space->reading_ahead) >= (turns_has(space) ? LOADS_IN_TURN : LOADS_AHEAD))
		return false;
	if (!readahead_take(&space->readahead, &piece) || budget_free(budget) < budget->low)
		return false;
	fill_window(space, piece.first, piece.count, FILL_MEMORY, FILL_AHEAD, 0);
	fill_window(space, piece.first, piece.count, FILL_DISK, FILL_AHEAD, 0);
	return true;
}

/* The frame that is mapped in the page's place, which the caller holds, comes back; the kernel maps it then. */
static void bring_frame(struct space *space, u64 index, u64 payload, u64 began)
{
	struct sharing *sharing = space->memory->sharing;
	int result = sharing->ops->bring(sharing, payload, 1, true);

	if (result) {
		space_fail(space, "page %lu, which it shares, cannot be brought back: %s", index,
			   strerror(-result));
	} else {
		uffd_wake(space->options.uffd, space_hva(space, index), PAGE_SIZE);
		fill_record_latency(space, index, PAGE_SHARED, began);
	}
	sharing->ops->release(sharing, payload, 1);
}

/* An own page of a sheet is always there; while somebody works on it, at least as long as it is read. Else its VMM has dropped it:
 * whoever waits for it goes on, with zeroes, since that may be us, and the guest is stopped. Region's lock held. */
static bool is_dropped_own(struct space *space, const struct fault *fault, struct page_word word)
{
	bool there = !page_word_busy(word) || atomic_load(&space->remap.reading_ns);

	if (!page_word_own(word) || !there || fault->flags & UFFD_PAGEFAULT_FLAG_WP ||
	    uffd_blank(space->options.uffd, space_hva(space, fault->index)) <= 0)
		return false;
	space_fail(space, "page %lu has vanished: the VMM dropped it", fault->index);
	return true;
}

static void resolve(struct space *space, const struct fault *fault, u64 began)
{
	struct region *region = space_region(space, fault->index);
	struct page_word word;
	enum page_state state;
	struct sharing *sharing = space->memory->sharing;
	struct miss miss;
	bool absent = false, shared = false, frame = false;

	pthread_mutex_lock(&region->lock);
	word = page_table_read(&space->table, fault->index);
	state = page_word_state(word);
	if (is_dropped_own(space, fault, word)) {
		/* Said. */
	} else if (page_word_busy(word)) {
		page_wait(&space->table, fault->index);
		atomic_store_explicit(&region->waited, true, memory_order_relaxed);
	} else if (region->mapping == REGION_WHOLE) {
		/* Read before the region was handed over, which woke everybody. */
		uffd_wake(space->options.uffd, space_hva(space, fault->index), PAGE_SIZE);
	} else if (page_word_foreign(word) && !(fault->flags & UFFD_PAGEFAULT_FLAG_WP)) {
		/* Its frame has left memory; or the fault was read before the frame was mapped. */
		frame = state == PAGE_SHARED;
		if (frame)
			sharing->ops->hold(sharing, page_word_payload(word), 1);
		else
			uffd_wake(space->options.uffd, space_hva(space, fault->index), PAGE_SIZE);
	} else if (page_word_foreign(word) && state == PAGE_SHARED) {
		shared = true;
	} else if (state == PAGE_RESIDENT) {
		map_resident(space, fault, began);
	} else {
		absent = true;
		miss = (struct miss){fault->index, state, REGION_PAGES - region->resident, began};
	}
	pthread_mutex_unlock(&region->lock);
	if (frame)
		bring_frame(space, fault->index, page_word_payload(word), began);
	if (shared)
		unshare_for_write(space, fault->index, began);
	if (!absent || !bring_back(space, &miss))
		space_waits(space, -1);
}

/* Takes a resident page out of the RAM file. False: it could not be split out of a large one; it is zero now, and in
 * memory still. Region's lock held. */
static bool punch_page(struct space *space, u64 index)
{
	if (!split_punch(space, index, 1))
		return false;
	budget_give(&space->memory->budget, PAGE_SIZE);
	space_region(space, index)->resident--;
	return true;
}

/* Makes one page zero, wherever its content is. Waits for whoever holds it. */
static void remove_page(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);
	struct page_source *source;
	struct page_word word;
	bool gone;

	pthread_mutex_lock(&region->lock);
	word = page_table_read(&space->table, index);
	while (page_word_busy(word)) {
		page_wait(&space->table, index);
		pthread_mutex_unlock(&region->lock);
		usleep(10);
		pthread_mutex_lock(&region->lock);
		word = page_table_read(&space->table, index);
	}
	gone = page_word_state(word) != PAGE_RESIDENT || punch_page(space, index);
	if (gone && page_word_state(word) != PAGE_ZERO) {
		page_hold(&space->table, index);
		page_set(&space->table, index, page_word(PAGE_ZERO, 0));
		page_release(&space->table, index);
	}
	pthread_mutex_unlock(&region->lock);
	source = space->memory->sources[page_word_state(word)];
	if (source)
		source->ops->invalidate(source, page_word_payload(word));
}

/* The VMM drops memory (MADV_REMOVE, a balloon of its own): what was there is void. */
static void remove_range(struct space *space, u64 hva, u64 end)
{
	for (; hva < end; hva += PAGE_SIZE) {
		s64 index = space_index(space, hva);
		struct region *region;

		if (index < 0)
			continue;
		region = space_region(space, (u64)index);
		pthread_mutex_lock(&region->lock);
		region_arm(space, (u64)index);
		pthread_mutex_unlock(&region->lock);
		remove_page(space, (u64)index);
		atomic_fetch_add_explicit(&space->counters.removed, 1, memory_order_relaxed);
	}
}

/* Tells whoever holds a page of the range that its content is void. */
static void note_removed(struct space *space, u64 hva, u64 end)
{
	for (; hva < end; hva += PAGE_SIZE) {
		s64 index = space_index(space, hva);
		struct region *region;

		if (index < 0)
			continue;
		region = space_region(space, (u64)index);
		pthread_mutex_lock(&region->lock);
		if (page_word_busy(page_table_read(&space->table, (u64)index)))
			page_drop(&space->table, (u64)index);
		pthread_mutex_unlock(&region->lock);
	}
}

/* Reads events. The VMM goes on dropping memory as soon as its event is read, and may then use it again:
 * from that moment no load under way may put the old content back. */
static ssize_t read_events(struct space *space, struct uffd_msg *messages, size_t size)
{
	ssize_t bytes;

	if (!space->options.removes)
		return read(space->options.uffd, messages, size);
	pthread_mutex_lock(&space->removes_lock);
	bytes = read(space->options.uffd, messages, size);
	for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(messages[0]); i++) {
		if (messages[i].event == UFFD_EVENT_REMOVE)
			note_removed(space, messages[i].arg.remove.start,
				     messages[i].arg.remove.end);
	}
	pthread_mutex_unlock(&space->removes_lock);
	return bytes;
}

static void count_fault(struct space_counters *counters, u64 flags)
{
	_Atomic u64 *counter = flags & UFFD_PAGEFAULT_FLAG_WP	   ? &counters->wp
			       : flags & UFFD_PAGEFAULT_FLAG_MINOR ? &counters->minor
								   : &counters->missing;

	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Sorts the messages into faults, handling at once what is not one. Returns how many faults. */
static u32 take_faults(struct space *space, const struct uffd_msg *messages, u32 count,
		       struct fault *faults)
{
	u32 n = 0;

	for (u32 i = 0; i < count; i++) {
		const struct uffd_msg *message = &messages[i];
		s64 index;

		switch (message->event) {
		case UFFD_EVENT_PAGEFAULT:
			count_fault(&space->counters, message->arg.pagefault.flags);
			index = space_index(space, message->arg.pagefault.address);
			if (index >= 0)
				faults[n++] =
					(struct fault){(u64)index, message->arg.pagefault.flags};
			break;
		case UFFD_EVENT_REMOVE:
			remove_range(space, message->arg.remove.start, message->arg.remove.end);
			break;
		default:
			space_fail(space,
				   "its VMM changed the mapping of guest memory "
				   "(userfaultfd event 0x%x), which cannot be followed",
				   message->event);
		}
	}
	return n;
}

static int compare_faults(const void *a, const void *b)
{
	const struct fault *left = a, *right = b;

	if (left->index != right->index)
		return left->index < right->index ? -1 : 1;
	return (left->flags > right->flags) - (left->flags < right->flags);
}

int fault_serve(struct space *space)
{
	struct uffd_msg messages[FAULT_BATCH];
	struct fault faults[FAULT_BATCH];
	ssize_t bytes;
	u64 began;
	u32 count;

	bytes = read_events(space, messages, sizeof(messages));
	if (bytes < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (bytes < (ssize_t)sizeof(messages[0]))
		return -EIO;
	began = clock_now_ns();
	count = take_faults(space, messages, (u32)((u64)bytes / sizeof(messages[0])), faults);
	space_waits(space, (s32)count);
	qsort(faults, count, sizeof(faults[0]), compare_faults);
	for (u32 i = 0; i < count; i++) {
		if (i + 1 < count && !compare_faults(&faults[i], &faults[i + 1])) {
			space_waits(space, -1);
			continue;
		}
		resolve(space, &faults[i], began);
	}
	return (int)((u64)bytes / sizeof(messages[0]));
}
