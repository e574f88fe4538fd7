/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/fill.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/entitlement.h"
#include "mem/trace.h"
#include "mem/uffd.h"

#define FILLS_KEPT  32U
#define LIMIT_TRIES 200U /* of a millisecond: longer than a VMM is waited for */

struct fill {
	struct page_load load;
	struct fill *next; /* among those kept */
	struct space *space;
	u64 first;
	u64 fault; /* or FILL_AHEAD */
	u64 began;
	u32 span;			    /* pages from first to the last held */
	u64 held;			    /* which of them are ours, a bit each */
	u8 *buffer;			    /* FILL_PAGES pages, in place */
	struct page_word words[FILL_PAGES]; /* as they were, by place */
	int results[FILL_PAGES];	    /* by place */
	struct page_load_slot slots[FILL_PAGES];
	u8 place[FILL_PAGES]; /* of each slot */
};

_Static_assert(FILL_PAGES <= 64, "a fill's pages are bits of one word");

#define FOR_EACH_HELD(i, fill)                                                                     \
	for (u32 i = 0; i < (fill)->span; i++)                                                     \
		if ((fill)->held >> i & 1)

enum fill_class fill_class_of(enum page_state state)
{
	static const enum fill_class classes[PAGE_STATES] = {
		[PAGE_ZERO] = FILL_ZERO,	 [PAGE_RESIDENT] = FILL_CLASSES,
		[PAGE_SHARED] = FILL_SHARED,	 [PAGE_SAME] = FILL_MEMORY,
		[PAGE_COMPRESSED] = FILL_MEMORY, [PAGE_DISK] = FILL_DISK,
		[PAGE_BALLOONED] = FILL_ZERO,
	};

	return classes[state];
}

void fill_record_latency(struct space *space, u64 index, enum page_state state, u64 began)
{
	struct trace *trace = atomic_load_explicit(&space->memory->trace, memory_order_acquire);
	u64 now = clock_now_ns(), ns = now - began;
	const struct trace_fault fault = {now, ns, index, space->id, state};

	atomic_fetch_add_explicit(&space->counters.stall_ns, ns, memory_order_relaxed);
	pthread_mutex_lock(&space->hist_lock);
	hist_record(&space->fault_latency[state], ns);
	pthread_mutex_unlock(&space->hist_lock);
	if (trace)
		trace_put(trace, &fault);
}

/* Buffers are kept for the next fill: a fresh one costs more page faults than the fill itself. */
static struct fill *fill_alloc(struct memory *memory)
{
	struct fill *fill;

	pthread_mutex_lock(&memory->fills_lock);
	fill = memory->fills;
	if (fill) {
		memory->fills = fill->next;
		memory->fills_kept--;
		memory->fills_spare = MIN(memory->fills_spare, memory->fills_kept);
	}
	pthread_mutex_unlock(&memory->fills_lock);
	if (fill)
		return fill;
	fill = malloc(sizeof(*fill));
	if (!fill)
		return NULL;
	fill->buffer = aligned_alloc(PAGE_SIZE, FILL_PAGES * PAGE_SIZE);
	if (fill->buffer)
		return fill;
	free(fill);
	return NULL;
}

static void fill_free(struct memory *memory, struct fill *fill)
{
	bool keep;

	pthread_mutex_lock(&memory->fills_lock);
	keep = memory->fills_kept < FILLS_KEPT;
	if (keep) {
		fill->next = memory->fills;
		memory->fills = fill;
		memory->fills_kept++;
	}
	pthread_mutex_unlock(&memory->fills_lock);
	if (keep)
		return;
	free(fill->buffer);
	free(fill);
}

/* The last in the list were not taken from it since the last time. */
static struct fill *take_spare(struct memory *memory)
{
	struct fill **last = &memory->fills, *spare;

	pthread_mutex_lock(&memory->fills_lock);
	for (u32 i = memory->fills_kept; i > memory->fills_spare; i--)
		last = &(*last)->next;
	spare = *last;
	*last = NULL;
	memory->fills_kept -= memory->fills_spare;
	memory->fills_spare = memory->fills_kept;
	pthread_mutex_unlock(&memory->fills_lock);
	return spare;
}

static void free_list(struct fill *list)
{
	while (list) {
		struct fill *fill = list;

		list = fill->next;
		/* Or the allocator keeps it. */
		madvise(fill->buffer, FILL_PAGES * PAGE_SIZE, MADV_DONTNEED);
		free(fill->buffer);
		free(fill);
	}
}

void fill_trim(struct memory *memory)
{
	free_list(take_spare(memory));
}

void fill_drain(struct memory *memory)
{
	free_list(memory->fills);
	memory->fills = NULL;
	memory->fills_kept = 0;
}

static bool hold_pages(struct fill *fill, u64 count, enum fill_class class)
{
	struct space *space = fill->space;
	struct region *region = space_region(space, fill->first);

	pthread_mutex_lock(&region->lock);
	for (u32 i = 0; i < count; i++) {
		struct page_word word = page_table_read(&space->table, fill->first + i);

		if (page_word_busy(word) || page_word_foreign(word) ||
		    fill_class_of(page_word_state(word)) != class)
			continue;
		/* What the guest gave up it does not want back unasked. */
		if (page_word_state(word) == PAGE_BALLOONED && fill->first + i != fill->fault)
			continue;
		page_hold(&space->table, fill->first + i);
		region->held++;
		fill->words[i] = word;
		fill->held |= 1ULL << i;
		fill->span = i + 1;
	}
	pthread_mutex_unlock(&region->lock);
	return fill->held;
}

/* Gives up the pages whose bits are set, as they were. Returns true when a guest waits for one. */
static bool drop_pages(struct fill *fill, u64 which)
{
	struct region *region = space_region(fill->space, fill->first);
	bool waited = false;

	FOR_EACH_HELD(i, fill)
	{
		if (!(which >> i & 1))
			continue;
		region->held--;
		waited |= page_release(&fill->space->table, fill->first + i);
		fill->held &= ~(1ULL << i);
	}
	return waited;
}

static void wake(struct fill *fill)
{
	uffd_wake(fill->space->options.uffd, space_hva(fill->space, fill->first),
		  fill->span * PAGE_SIZE);
}

static void fail_for_memory(struct space *space, u64 index)
{
	u32 held_back = entitlement_held_back(space->memory);
	char why[80] = "";

	if (held_back)
		snprintf(why, sizeof(why), " (guests at their swap_max: %u; raise that)",
			 held_back);
	space_fail(space,
		   "no memory for page %lu: the budget of %lu MiB is used up and nothing more can "
		   "be stored%s: raise memory or swap-size, or run fewer guests",
		   index, space->memory->budget.limit / MiB, why);
}

int fill_take_frame(struct space *space, u64 index, enum budget_class class)
{
	struct memory *memory = space->memory;

	while (!budget_take(&memory->budget, PAGE_SIZE, class)) {
		atomic_fetch_add_explicit(&memory->direct_reclaims, 1, memory_order_relaxed);
		/* A guest that has failed only holds up its own end. */
		if (atomic_load(&space->failed) || !memory->direct_reclaim ||
		    !memory->direct_reclaim(memory, 16 * PAGE_SIZE, space)) {
			fail_for_memory(space, index);
			return -ENOMEM;
		}
		if (space->hungry_ns)
			return -EAGAIN;
	}
	space->hungry_ns = 0;
	return 0;
}

/* Gives up the pages whose bits are set, as they were. `again`: who waits for one is to touch it once more. */
static void give_up(struct fill *fill, u64 which, bool again)
{
	struct region *region = space_region(fill->space, fill->first);

	pthread_mutex_lock(&region->lock);
	if (drop_pages(fill, which) || again)
		wake(fill);
	pthread_mutex_unlock(&region->lock);
}

/* Takes a frame for each page held; when there are not enough, only for the one that is waited for,
 * by reclaiming it if need be. False: none, and nothing is held any more. */
static bool take_frames(struct fill *fill)
{
	struct memory *memory = fill->space->memory;
	u64 wanted = fill->fault == FILL_AHEAD ? 0 : 1ULL << (fill->fault - fill->first);
	int err;

	if (budget_take(&memory->budget, __builtin_popcountll(fill->held) * PAGE_SIZE,
			BUDGET_NORMAL)) {
		if (wanted)
			fill->space->hungry_ns = 0;
		return true;
	}
	give_up(fill, ~wanted, false);
	if (!fill->held)
		return false;
	err = fill_take_frame(fill->space, fill->fault, BUDGET_NORMAL);
	if (err)
		give_up(fill, fill->held, err == -EAGAIN);
	return !err;
}

/* Puts the run of loaded pages [place, place + count) into the guest. Returns how many went in. */
static u32 put_run(struct fill *fill, u32 place, u32 count, bool zero)
{
	const struct space_options *options = &fill->space->options;
	u64 index = fill->first + place;
	u64 hva = space_hva(fill->space, index);
	const u8 *from = fill->buffer + place * PAGE_SIZE;
	s64 done;

	if (zero)
		done = uffd_zero(options->uffd, hva, count * PAGE_SIZE);
	else
		done = uffd_copy(options->uffd, hva, from, count * PAGE_SIZE);
	/* The kernel fills within one mapping; sharing may have left two here. */
	if (done == -ENOENT && count > 1)
		return put_run(fill, place, 1, zero);
	if (done == -EEXIST) {
		/* Somebody has written to the file where the guest has nothing: what its content should
		 * be is in our hands. */
		if (zero)
			memset(fill->buffer + place * PAGE_SIZE, 0, PAGE_SIZE);
		if (pwrite(options->ram, from, PAGE_SIZE, (off_t)(index * PAGE_SIZE)) !=
		    (ssize_t)PAGE_SIZE)
			return 0;
		if (uffd_continue(options->uffd, hva, PAGE_SIZE))
			return 0;
		uffd_wake(options->uffd, hva, PAGE_SIZE);
		return 1;
	}
	return done > 0 ? (u32)(done / (s64)PAGE_SIZE) : 0;
}

/* Pages that went into the guest become resident. */
static void commit_run(struct fill *fill, u32 place, u32 count)
{
	struct space *space = fill->space;
	struct region *region = space_region(space, fill->first);

	for (u32 i = place; i < place + count; i++) {
		page_set(&space->table, fill->first + i, page_word(PAGE_RESIDENT, 0));
		region->resident++;
		region->clean &= ~(1U << ((fill->first + i) % REGION_PAGES / GROUP_PAGES));
		if (!space_is_sampled(space))
			region_note_use(space, fill->first + i);
		fill->results[i] = 0;
	}
}

/* Puts all pages that were loaded into the guest, in runs. results[] says which did not make it. */
static void put_pages(struct fill *fill)
{
	u32 i = 0;

	while (i < fill->span) {
		bool zero;
		u32 end = i, done;

		if (!(fill->held >> i & 1) || fill->results[i]) {
			i++;
			continue;
		}
		zero = fill_class_of(page_word_state(fill->words[i])) == FILL_ZERO;
		while (end < fill->span && fill->held >> end & 1 && !fill->results[end])
			end++;
		done = put_run(fill, i, end - i, zero);
		commit_run(fill, i, done);
		i += done;
		if (!done)
			fill->results[i++] = -EAGAIN;
	}
}

/* A guest missed what was stored. A page that was thrashed out while it was in use is spared for a while: it
 * came back after fewer evictions than there are pages resident (refault distance; Johannes Weiner,
 * mm/workingset.c). */
static void note_refault(struct space *space, struct region *region)
{
	u32 now = (u32)(atomic_load(&space->memory->evictions) / REGION_PAGES);
	u64 distance = (u64)(now - region->evicted_at) * REGION_PAGES;

	atomic_fetch_add_explicit(&space->counters.missed, 1, memory_order_relaxed);
	if (distance < page_table_count(&space->table, PAGE_RESIDENT))
		region->protection = 1;
}

/* What the VMM dropped since it was held must not come back. */
static void skip_dropped(struct fill *fill)
{
	FOR_EACH_HELD(i, fill)
	{
		if (page_word_void(page_table_read(&fill->space->table, fill->first + i)))
			fill->results[i] = -EAGAIN;
	}
}

/* Into the guest, or nowhere. While a REMOVE event is unread the kernel refuses (-EAGAIN); once it is
 * noted the page is void; removes_lock covers the time between. Region's lock not held. */
static void lock_for_commit(struct space *space, struct region *region)
{
	if (space->options.removes)
		pthread_mutex_lock(&space->removes_lock);
	pthread_mutex_lock(&region->lock);
}

static void unlock_after_commit(struct space *space, struct region *region)
{
	pthread_mutex_unlock(&region->lock);
	if (space->options.removes)
		pthread_mutex_unlock(&space->removes_lock);
}

static void commit(struct fill *fill)
{
	struct space *space = fill->space;
	struct region *region = space_region(space, fill->first);
	u64 lost = 0, done = 0, refaulted = 0;
	int fault_result = 0;
	bool waited;

	lock_for_commit(space, region);
	skip_dropped(fill);
	put_pages(fill);
	if (fill->fault != FILL_AHEAD) {
		fault_result = fill->results[fill->fault - fill->first];
		/* Memory touched for the first time was not thrashed out. */
		if (fill_class_of(page_word_state(fill->words[fill->fault - fill->first])) !=
		    FILL_ZERO)
			note_refault(space, region);
	}
	FOR_EACH_HELD(i, fill)
	{
		if (fill->results[i])
			lost++;
		else
			done |= 1ULL << i;
	}
	waited = drop_pages(fill, fill->held);
	/* A page that cannot be loaded keeps its guest waiting until the guest is stopped. */
	if ((waited && !fault_result) || fault_result == -EAGAIN)
		wake(fill);
	if (region->resident == REGION_PAGES && !region->held)
		region_make_whole(space, fill->first);
	unlock_after_commit(space, region);

	budget_give(&space->memory->budget, lost * PAGE_SIZE);
	for (u32 i = 0; i < fill->span; i++) {
		enum page_state state;
		struct page_source *source;

		if (!(done >> i & 1))
			continue;
		state = page_word_state(fill->words[i]);
		source = space->memory->sources[state];
		refaulted += fill_class_of(state) != FILL_ZERO;
		if (source)
			source->ops->invalidate(source, page_word_payload(fill->words[i]));
	}
	atomic_fetch_add_explicit(&space->counters.refaulted, refaulted, memory_order_relaxed);
	if (fill->fault == FILL_AHEAD)
		return;
	if (!fault_result)
		fill_record_latency(space, fill->fault,
				    page_word_state(fill->words[fill->fault - fill->first]),
				    fill->began);
	else if (fault_result != -EAGAIN)
		space_fail(space, "page %lu cannot be read back (%s): %s", fill->fault,
			   fault_result == -EBADMSG ? "its content does not match its hash"
						    : "I/O error",
			   "the guest is stopped, its other pages are not used; check the disk");
}

static void fill_finish(struct fill *fill)
{
	for (u32 i = 0; i < fill->load.count; i++)
		fill->results[fill->place[i]] = fill->slots[i].result;
	commit(fill);
}

/* Called by a source's thread when a load that was pending is done. */
static void fill_loaded(struct page_load *load)
{
	struct fill *fill = container_of(load, struct fill, load);
	struct space *space = fill->space;

	atomic_fetch_sub(&space->reading_ahead, fill->load.ahead);
	fill_finish(fill);
	if (fill->fault != FILL_AHEAD)
		space_waits(space, -1);
	fill_free(space->memory, fill);
	space_put(space);
}

static void fill_same(u8 *page, u64 payload)
{
	u32 *words = (u32 *)page;

	for (u32 i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		words[i] = (u32)payload;
}

/* Lists the pages to load from their source, all of one source; makes up the others. */
static struct page_source *prepare_slots(struct fill *fill)
{
	struct page_source *source = NULL;

	FOR_EACH_HELD(i, fill)
	{
		enum page_state state = page_word_state(fill->words[i]);
		u64 payload = page_word_payload(fill->words[i]);
		u8 *page = fill->buffer + i * PAGE_SIZE;

		fill->results[i] = 0;
		if (state == PAGE_SAME)
			fill_same(page, payload);
		if (!fill->space->memory->sources[state])
			continue;
		source = fill->space->memory->sources[state];
		fill->place[fill->load.count] = (u8)i;
		fill->slots[fill->load.count++] =
			(struct page_load_slot){.payload = payload, .buffer = page};
	}
	return source;
}

/* Loads and commits. False when a source goes on with the fill and will end it. */
static bool fill_load(struct fill *fill)
{
	struct page_source *source = prepare_slots(fill);
	u32 ahead = fill->load.ahead = fill->fault == FILL_AHEAD;
	int result = 0;

	if (source) {
		/* A pending load outlives this call, and so must the space. */
		memory_get_space(fill->space->memory, fill->space->id);
		atomic_fetch_add(&fill->space->reading_ahead, ahead);
		result = source->ops->load(source, &fill->load);
		if (result == -EINPROGRESS)
			return false;
		atomic_fetch_sub(&fill->space->reading_ahead, ahead);
		space_put(fill->space);
	}
	for (u32 i = 0; i < fill->load.count && result; i++)
		fill->slots[i].result = result;
	fill_finish(fill);
	return true;
}

/* A guest at its limit brings nothing in ahead, and makes room itself for what it must have. One that cannot,
 * at its swap_max, gets beyond: others would give in its place. */
static bool within_limit(struct space *space, u64 count, bool ahead)
{
	struct memory *memory = space->memory;

	/* The clock may have to wait for the VMM's answer before it can take anything: so may the guest. */
	for (u32 i = 0; i < LIMIT_TRIES && entitlement_is_full(space, count); i++) {
		if (ahead || atomic_load(&space->failed) || !memory->direct_reclaim ||
		    entitlement_standing(space) == STANDING_AT_SWAP_MAX)
			return !ahead;
		memory->direct_reclaim(memory, count * PAGE_SIZE, space);
		space->hungry_ns = 0;
		if (space_is_called(space))
			return true;
		if (entitlement_is_full(space, count))
			usleep(1000);
	}
	return true;
}

bool fill_window(struct space *space, u64 first, u64 count, enum fill_class class, u64 fault,
		 u64 began)
{
	struct fill *fill;
	bool waited_for;

	assert(count <= FILL_PAGES);
	if (!within_limit(space, count, fault == FILL_AHEAD))
		return false;
	fill = fill_alloc(space->memory);
	if (!fill) {
		if (fault != FILL_AHEAD)
			space_fail(space, "no memory for a page buffer of the manager");
		return false;
	}
	fill->space = space;
	fill->first = first;
	fill->fault = fault;
	fill->began = began;
	fill->span = 0;
	fill->held = 0;
	/* With one vCPU, and that one waiting, no other fault can come meanwhile. */
	fill->load = (struct page_load){
		.slots = fill->slots,
		.done = fill_loaded,
		.patient = fault != FILL_AHEAD && space->options.threads == 1,
	};
	hold_pages(fill, count, class);
	/* The page moved on since the fault was looked at: let the guest try again. */
	if (fault != FILL_AHEAD && !(fill->held >> (fault - first) & 1)) {
		uffd_wake(space->options.uffd, space_hva(space, fault), PAGE_SIZE);
		fill->fault = FILL_AHEAD;
	}
	waited_for = fill->fault != FILL_AHEAD;
	if (fill->held && take_frames(fill) && !fill_load(fill))
		return waited_for; /* the fill is another thread's now */
	fill_free(space->memory, fill);
	return false;
}
