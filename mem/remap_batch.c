/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/remap_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "lib/clock.h"
#include "lib/thread.h"
#include "mem/pagemap.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/uffd.h"

bool remap_test_skip_protect;
bool remap_test_skip_look;
bool remap_test_skip_missing;
bool remap_test_skip_own;

void remap_init(struct space *space)
{
	pthread_mutex_init(&space->remap.turn, NULL);
	pthread_mutex_init(&space->remap.lock, NULL);
	condition_init(&space->remap.changed);
}

void remap_exit(struct space *space)
{
	pthread_cond_destroy(&space->remap.changed);
	pthread_mutex_destroy(&space->remap.lock);
	pthread_mutex_destroy(&space->remap.turn);
}

static void answer(struct space *space, bool gone)
{
	pthread_mutex_lock(&space->remap.lock);
	space->remap.pending = false;
	space->remap.gone |= gone;
	pthread_cond_broadcast(&space->remap.changed);
	pthread_mutex_unlock(&space->remap.lock);
}

void space_remapped(struct space *space)
{
	answer(space, false);
}

void space_gone(struct space *space)
{
	answer(space, true);
}

/* Waits for the VMM. Returns 0, -ESRCH when it is gone, -ETIMEDOUT. */
static int await_answer(struct space *space)
{
	struct remap_state *state = &space->remap;
	u64 until_ns = clock_now_ns() + REMAP_PATIENCE_MS * NSEC_PER_MSEC;
	int result = 0;

	pthread_mutex_lock(&state->lock);
	while (state->pending && !state->gone && !result)
		result = condition_wait(&state->changed, &state->lock, until_ns);
	if (state->gone)
		result = -ESRCH;
	else if (!state->pending)
		result = 0;
	state->pending = false;
	pthread_mutex_unlock(&state->lock);
	return result;
}

static bool expect_answer(struct space *space)
{
	bool gone;

	pthread_mutex_lock(&space->remap.lock);
	gone = space->remap.gone;
	space->remap.pending = !gone;
	pthread_mutex_unlock(&space->remap.lock);
	return !gone;
}

int remap_ask_for(struct space *space, const struct space_remap *ranges, u32 count)
{
	int result;

	if (!expect_answer(space))
		return -ESRCH;
	result = space->options.client->ops->remap(space->options.client, ranges, count);
	return result ? result : await_answer(space);
}

int remap_ask(struct remap *remap)
{
	struct space *space = remap->space;
	struct space_remap ranges[SPACE_REMAP_MAX];

	for (u32 i = 0; i < remap->count; i++) {
		const struct run *run = &remap->runs[i];

		ranges[i] = (struct space_remap){
			.file_offset = (remap->first + run->place) * PAGE_SIZE,
			.length = run->count * PAGE_SIZE,
			.frame_offset = remap->home ? SPACE_REMAP_HOME : run->frame * PAGE_SIZE,
		};
	}
	return remap_ask_for(space, ranges, remap->count);
}

/* The frame of a payload: a store's number stands above it (ksm/frames.h). */
static u64 frame_of(struct page_word word)
{
	return page_word_payload(word) & UINT32_MAX;
}

static bool wanted_out(struct page_word word)
{
	return !page_word_busy(word) && !page_word_foreign(word) &&
	       page_word_state(word) == PAGE_SHARED;
}

static bool wanted_home(struct page_word word, bool all)
{
	return !page_word_busy(word) && page_word_foreign(word) &&
	       (all || page_word_state(word) == PAGE_RESIDENT);
}

/* Adds a page to the runs; false when there are too many. */
static bool add_page(struct remap *remap, u32 place, struct page_word word)
{
	struct run *last = remap->count ? &remap->runs[remap->count - 1] : NULL;

	if (last && last->place + last->count == place &&
	    (remap->home || last->frame + last->count == frame_of(word))) {
		last->count++;
	} else if (remap->count < SPACE_REMAP_MAX) {
		remap->runs[remap->count++] = (struct run){place, 1, frame_of(word)};
	} else {
		return false;
	}
	return true;
}

void remap_collect(struct remap *remap, bool all)
{
	for (u32 i = remap->low; i < remap->high; i++) {
		struct page_word word = page_table_read(&remap->space->table, remap->first + i);

		remap->words[i] = word;
		if (remap->home ? !wanted_home(word, all) : !wanted_out(word))
			continue;
		if (!add_page(remap, i, word))
			return;
	}
}

/* The frames of the shared pages, in runs where the pages were chosen so; private ones hold theirs already, and own
 * ones have none. */
static u32 next_frames(struct remap *remap, const struct run *run, u32 place)
{
	if (!remap->home)
		return run->count;
	return page_word_state(remap->words[place]) == PAGE_SHARED ? 1 : 0;
}

static void each_frame(struct remap *remap,
		       void (*call)(struct sharing *sharing, u64 payload, u32 count))
{
	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place, count; i < run->place + run->count; i += MAX(count, 1U)) {
			count = next_frames(remap, run, i);
			if (count)
				call(remap->space->memory->sharing,
				     page_word_payload(remap->words[i]), count);
		}
	}
}

int remap_bring_frames(struct remap *remap)
{
	struct sharing *sharing = remap->space->memory->sharing;
	int result = 0;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place, count; i < run->place + run->count && !result;
		     i += MAX(count, 1U)) {
			count = next_frames(remap, run, i);
			if (count)
				result = sharing->ops->bring(
					sharing, page_word_payload(remap->words[i]), count, false);
		}
	}
	return result;
}

static void release_frames(struct remap *remap)
{
	each_frame(remap, remap->space->memory->sharing->ops->release);
}

/* Region's lock held. */
void remap_hold(struct remap *remap)
{
	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++)
			page_hold(&remap->space->table, remap->first + i);
		remap->region->held += run->count;
	}
	each_frame(remap, remap->space->memory->sharing->ops->hold);
}

/* Region's lock held. */
void remap_release(struct remap *remap)
{
	struct space *space = remap->space;
	bool waited = false;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++)
			waited |= page_release(&space->table, remap->first + i);
		remap->region->held -= run->count;
	}
	if (remap->region->resident == REGION_PAGES && !remap->region->held)
		region_make_whole(space, remap->first);
	if (waited)
		uffd_wake(space->options.uffd, space_hva(space, remap->first), REGION_SIZE);
}

void remap_give_up(struct remap *remap)
{
	pthread_mutex_lock(&remap->region->lock);
	remap_release(remap);
	pthread_mutex_unlock(&remap->region->lock);
	release_frames(remap);
}

void remap_condemn(struct remap *remap, int error)
{
	if (error != -ESRCH)
		space_fail(
			remap->space,
			"its VMM did not map shared memory as it was asked to (error %d%s): it hangs, "
			"or has reached a limit (sysctl vm.max_map_count; vma_budget in [ksm] keeps below)",
			-error, error == -ETIMEDOUT ? ", no answer" : "");
}

void remap_fail(struct remap *remap, int error)
{
	remap_condemn(remap, error);
	remap_give_up(remap);
}

u32 remap_pages(const struct remap *remap)
{
	u32 pages = 0;

	for (u32 i = 0; i < remap->count; i++)
		pages += remap->runs[i].count;
	return pages;
}

struct span remap_span(const struct remap *remap)
{
	struct span span = {.low = REGION_PAGES};

	for (u32 i = 0; i < remap->count; i++) {
		const struct run *run = &remap->runs[i];

		span.low = MIN(span.low, run->place);
		span.high = MAX(span.high, run->place + run->count);
	}
	return span;
}

int remap_register(const struct remap *remap)
{
	struct span span = remap_span(remap);

	return uffd_register_frames(
		remap->space->options.uffd, space_hva(remap->space, remap->first + span.low),
		(span.high - span.low) * PAGE_SIZE, remap->home || !remap_test_skip_missing);
}

int remap_read(struct remap *remap, struct iovec to, const struct iovec *from, u32 count)
{
	struct remap_state *state = &remap->space->remap;
	ssize_t bytes = -1;

	atomic_store(&state->reading, remap->first);
	atomic_store(&state->reading_ns, clock_now_ns());
	errno = ESRCH;
	/* Looked at in this order: whoever ends the space looks in the other. */
	if (!atomic_load(&state->gone))
		bytes = process_vm_readv(remap->space->options.pid, &to, 1, from, count, 0);
	atomic_store(&state->reading_ns, 0);
	if (bytes == (ssize_t)to.iov_len)
		return 0;
	return bytes < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
}

bool remap_is_stuck(const struct space *space, u64 now_ns)
{
	u64 since_ns = atomic_load(&space->remap.reading_ns);

	return since_ns && now_ns > since_ns + REMAP_PATIENCE_MS * NSEC_PER_MSEC;
}

void remap_end_reading(struct space *space)
{
	u64 first = atomic_load(&space->remap.reading);

	if (!atomic_load(&space->remap.reading_ns))
		return;
	/* Nobody else looks at this memory any more. What is there stays, and is no error. */
	for (u64 i = first; i < first + REGION_PAGES; i++)
		uffd_blank(space->options.uffd, space_hva(space, i));
}

/* Maps each page for reading, if it is not: what is not mapped cannot be told from what was swapped out. */
static int touch(struct remap *remap)
{
	struct iovec from[REGION_PAGES], to;
	u8 bytes[REGION_PAGES];
	u32 pages = 0;

	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = 0; i < run->count; i++)
			from[pages++] = (struct iovec){
				(void *)(uintptr_t)(remap_hva(remap, run) + i * PAGE_SIZE), 1};
	}
	to = (struct iovec){bytes, pages};
	return remap_read(remap, to, from, pages);
}

static bool all_mapped(struct remap *remap, const u64 entries[REGION_PAGES])
{
	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++)
			if (!(entries[i] & PAGEMAP_PRESENT))
				return false;
	}
	return true;
}

/* Two calls for all runs. */
int remap_look(struct remap *remap, bool mapped)
{
	struct span span = remap_span(remap);
	u64 entries[REGION_PAGES];
	int result;

	if (remap_test_skip_look)
		return 0;
	result = mapped ? 0 : touch(remap);
	if (result)
		return result;
	if (pagemap_read(remap->space, remap->first + span.low, span.high - span.low,
			 entries + span.low))
		return -EIO;
	if (mapped && !all_mapped(remap, entries))
		return remap_look(remap, false);
	FOR_EACH_RUN(run, remap)
	{
		for (u32 i = run->place; i < run->place + run->count; i++)
			remap->broken[i] =
				!(entries[i] & PAGEMAP_PRESENT) || !(entries[i] & PAGEMAP_FILE);
	}
	return 0;
}

/* The kernel says no memory, too, when the VMM's address space is gone. */
int remap_watched(const struct remap *remap, int result)
{
	if (result && uffd_unprotect(remap->space->options.uffd, remap_hva(remap, remap->runs),
				     PAGE_SIZE) == -ESRCH)
		return -ESRCH;
	return result;
}

s64 remap_mappings(const struct remap *remap)
{
	struct page_word last = page_word(PAGE_RESIDENT, 0);
	/* Two sheets next to each other do not join. */
	s64 count = 1 + page_word_foreign(page_table_read(&remap->space->table, remap->first));

	for (u32 i = 0; i < REGION_PAGES; i++) {
		struct page_word word = page_table_read(&remap->space->table, remap->first + i);
		bool foreign = page_word_foreign(word);

		if (i && (foreign != page_word_foreign(last) ||
			  (foreign && frame_of(word) != frame_of(last) + 1)))
			count++;
		last = word;
	}
	return count;
}

void remap_count_away(struct space *space, const struct away *more)
{
	atomic_fetch_add(&space->counters.foreign, (u64)more->foreign);
	atomic_fetch_add(&space->counters.private, (u64)more->private);
	atomic_fetch_add(&space->counters.own, (u64)more->own);
	atomic_fetch_add(&space->memory->foreign_pages, (u64)more->foreign);
	atomic_fetch_add(&space->memory->private_pages, (u64)more->private);
	atomic_fetch_add(&space->memory->own_pages, (u64)more->own);
	atomic_fetch_add(&space->counters.vmas, (u64)more->vmas);
}

void remap_charge_broken(struct space *space, u32 pages)
{
	budget_charge(&space->memory->budget, pages * PAGE_SIZE);
	atomic_fetch_add_explicit(&space->counters.cow_breaks, pages, memory_order_relaxed);
	atomic_fetch_add_explicit(&space->memory->cow_breaks, pages, memory_order_relaxed);
}

static bool remappable(const struct space *space)
{
	return space->options.client->ops->remap && space->options.remaps &&
	       space->options.pagemap >= 0 && !space->options.removes &&
	       space->memory->sources[PAGE_SHARED];
}

int remap_begin(struct space *space, u64 first, bool home, struct remap **begun)
{
	struct remap *remap;

	if (!remappable(space))
		return -ENOTSUP;
	if (atomic_load_explicit(&space->failed, memory_order_relaxed))
		return -ESRCH;
	remap = calloc(1, sizeof(*remap));
	if (!remap)
		return -ENOMEM;
	remap->space = space;
	remap->region = space_region(space, first);
	remap->first = ALIGN_DOWN(first, REGION_PAGES);
	remap->home = home;
	remap->high = REGION_PAGES;
	pthread_mutex_lock(&space->remap.turn);
	*begun = remap;
	return 0;
}

void remap_end(struct remap *remap)
{
	pthread_mutex_unlock(&remap->space->remap.turn);
	free(remap);
}
