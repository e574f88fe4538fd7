/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/reclaim.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/thread.h"
#include "mem/breaks.h"
#include "mem/cold.h"
#include "mem/entitlement.h"
#include "mem/evict.h"
#include "mem/fill.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/space.h"
#include "mem/split.h"

#define BACKGROUND_BYTES  (2 * MiB)
#define MAKE_ROOM_BYTES	  (4 * MiB) /* a full pool is emptied by so much at a time */
#define DIRECT_ROOM_BYTES (256 * KiB)
#define COLLAPSE_BATCH	  16U /* regions at a time: some 7 ms of copying */
#define DRY_MAX		  3U  /* unmapping is waited for so long */
#define REST_MS		  50UL /* between rests, where more is expected soon */
#define CRUMBS_BYTES	  (4 * MiB)
#define TELL_AGAIN_NS	  (30 * NSEC_PER_SEC)

/* A guest that was given up has so many patiences to end and leave its memory to the others. */
#define GRACE 3

#define EVICT_TRIES 8 /* of one region, by hand, with room made in between */

u64 reclaim_test_patience_ns = 5 * NSEC_PER_SEC;

/*
 * A host that has no room left still frees a page now and then: an untouched one that was filled
 * ahead, one for which another's return from a full swap file made place. Living on such crumbs no
 * guest gets anywhere, and none would ever be told why. So the faults that wait for memory are judged
 * together: over a while.
 */
struct hunger {
	pthread_mutex_t lock; /* taken with no other */
	u64 since_ns;
	u64 waited_ns; /* by faults in direct reclaim, summed */
	u64 progress;  /* of reclaim, when it began */
	u64 refused;   /* pages no store had room for, when it began */
	u64 victim_ns; /* when a guest was last given up */
	u64 told_ns;   /* when a stall was last told of */
};

struct reclaim {
	struct memory *memory;
	struct reclaimer *reclaimers[RECLAIMERS_MAX + 1];
	_Atomic u32 tick_ms;
	pthread_t thread;
	sem_t wake;
	_Atomic bool woken;
	_Atomic bool stop;
	_Atomic u64 progress; /* bytes freed in all */
	_Atomic u32 dry;      /* times in a row that the clock had nothing to give */
	u32 tidy_space;	      /* whose regions are looked at next */
	struct hunger hunger;
};

static s64 scan(struct reclaimer *reclaimer, u64 bytes)
{
	return reclaimer->ops->scan(reclaimer, bytes);
}

/* What part of `bytes` the shared frames should give, when the clock has given `freed`. Several guests use a frame:
 * they are asked when the clock has nothing, and for their part when it has to take what is in use. */
static u64 share_of_frames(struct reclaim *reclaim, u64 bytes, s64 freed)
{
	struct memory *memory = reclaim->memory;
	u64 frames, pages;

	if (!memory->sharing || freed == -ENOSPC)
		return 0;
	if (freed <= 0)
		return atomic_fetch_add(&reclaim->dry, 1) < DRY_MAX ? 0 : bytes;
	atomic_store(&reclaim->dry, 0);
	if (!atomic_load_explicit(&memory->straining, memory_order_relaxed))
		return 0;
	frames = memory->sharing->frames->ops->count(memory->sharing->frames) / PAGE_SIZE;
	pages = frames + memory_resident_pages(memory);
	return pages ? bytes * frames / pages : 0;
}

static s64 free_pages(struct reclaim *reclaim, u64 bytes)
{
	s64 freed = scan(reclaim->reclaimers[0], bytes), more;
	u64 share = share_of_frames(reclaim, bytes, freed);

	if (share < PAGE_SIZE)
		return freed;
	more = scan(reclaim->memory->sharing->frames, share);
	if (freed > 0)
		return freed + MAX(more, 0);
	return more ? more : freed;
}

/* Frees about `bytes`; each reclaimer that has no room is helped by the ones after it. */
static s64 free_some(struct reclaim *reclaim, u64 bytes, u64 room)
{
	s64 freed = free_pages(reclaim, bytes);

	for (u32 i = 1; freed == -ENOSPC && reclaim->reclaimers[i]; i++) {
		s64 made = scan(reclaim->reclaimers[i], room);

		if (made > 0)
			freed = made;
	}
	if (freed > 0)
		atomic_fetch_add(&reclaim->progress, (u64)freed);
	return freed;
}

/* Whether there is something to do: too little is free, a guest is above its limit, or others have a use
 * for what some guest should not keep. */
static bool pressed(const struct reclaim *reclaim)
{
	struct memory *memory = reclaim->memory;
	u64 free = budget_free(&memory->budget);
	enum standing highest;

	if (free < memory->budget.high)
		return true;
	highest = entitlement_highest(memory);
	return highest == STANDING_ABOVE_LIMIT ||
	       (highest >= STANDING_ABOVE_KEEP && free < atomic_load(&memory->free_goal));
}

/* A piece of what reclaimers owe; false when there is none, or they get nowhere. */
static bool work_off_due(struct reclaim *reclaim)
{
	s64 freed = 0;

	for (u32 i = 1; reclaim->reclaimers[i]; i++) {
		struct reclaimer *reclaimer = reclaim->reclaimers[i];
		u64 due = reclaimer->ops->due ? reclaimer->ops->due(reclaimer) : 0;

		if (due)
			freed += MAX(scan(reclaimer, MIN(due, MAKE_ROOM_BYTES)), 0);
	}
	atomic_fetch_add(&reclaim->progress, (u64)freed);
	return freed;
}

static void ask_own_pages_home(const struct reclaim *reclaim)
{
	struct memory *memory = reclaim->memory;

	if (memory->sharing && atomic_load(&memory->own_pages))
		memory->sharing->ops->bring_home(memory->sharing);
}

static void work_off_pressure(struct reclaim *reclaim)
{
	while (!atomic_load(&reclaim->stop) && pressed(reclaim)) {
		s64 freed;

		ask_own_pages_home(reclaim);
		freed = free_some(reclaim, BACKGROUND_BYTES, MAKE_ROOM_BYTES);
		work_off_due(reclaim);
		if (freed > 0)
			continue;
		/* Nothing cold just now, an unmap still under way, or no room at all. */
		usleep(freed ? 10000 : 1000);
		if (freed)
			return;
	}
}

/* To be huge is to be mapped: what the clock has unmapped, to see whether it is used, is its to restore (mem/around.h).
 * Returns how many it made huge. */
static u32 collapse_some(struct space *space, u32 most)
{
	u32 done = 0;

	for (u64 i = 0; i < space->region_count && done < most; i++) {
		struct region *region = &space->regions[i];
		bool small;

		pthread_mutex_lock(&region->lock);
		small = region->mapping == REGION_WHOLE && !region->huge && !region->sampled;
		pthread_mutex_unlock(&region->lock);
		if (!small)
			continue;
		if (region_collapse(space, i * REGION_PAGES))
			break;
		done++;
	}
	return done;
}

/* Makes regions huge again that were broken and have come back whole, or were filled when there was no huge page to be
 * had. Returns whether there were any. */
static bool tidy(struct reclaim *reclaim)
{
	struct memory *memory = reclaim->memory;
	u32 used = atomic_load(&memory->slots_used), left = COLLAPSE_BATCH;

	for (u32 i = 0; i < used && left && memory->huge_pages; i++) {
		struct space *space;

		reclaim->tidy_space = (reclaim->tidy_space + 1) % used;
		space = memory_get_space(memory, reclaim->tidy_space);
		if (!space)
			continue;
		left -= collapse_some(space, left);
		space_put(space);
	}
	return left < COLLAPSE_BATCH;
}

/* Memory that is cold leaves while nobody needs it. */
static void take_cold(struct reclaim *reclaim)
{
	s64 freed = cold_walk(reclaim->memory, clock_now_ns());

	for (u32 i = 1; freed == -ENOSPC && reclaim->reclaimers[i]; i++)
		scan(reclaim->reclaimers[i], MAKE_ROOM_BYTES);
	if (freed > 0)
		atomic_fetch_add(&reclaim->progress, (u64)freed);
}

/* Returns whether nobody has woken us for so long. */
static bool sleep_for(struct reclaim *reclaim, u64 ms)
{
	struct timespec until;
	bool passed;
	u64 ns;

	clock_gettime(CLOCK_REALTIME, &until);
	ns = (u64)until.tv_nsec + ms * NSEC_PER_MSEC;
	until.tv_sec += (time_t)(ns / NSEC_PER_SEC);
	until.tv_nsec = (long)(ns % NSEC_PER_SEC);
	passed = sem_timedwait(&reclaim->wake, &until) && errno == ETIMEDOUT;
	atomic_store(&reclaim->woken, false);
	return passed;
}

/* Returns whether to rest again soon. */
static bool rest(struct reclaim *reclaim)
{
	bool soon = !pressed(reclaim) && tidy(reclaim);

	for (u32 i = 0; reclaim->reclaimers[i] && !pressed(reclaim); i++)
		if (reclaim->reclaimers[i]->ops->rest)
			soon |= reclaim->reclaimers[i]->ops->rest(reclaim->reclaimers[i]);
	return soon;
}

/* Returns whether all of it passed. */
static bool wait_tick(struct reclaim *reclaim)
{
	u64 left = reclaim->tick_ms;

	while (left) {
		u64 ms = rest(reclaim) ? MIN(left, REST_MS) : left;

		if (!sleep_for(reclaim, ms))
			return false;
		left -= ms;
	}
	return true;
}

static void relieve(struct reclaim *reclaim)
{
	atomic_store(&reclaim->memory->reclaiming, true);
	work_off_pressure(reclaim);
	atomic_store(&reclaim->memory->reclaiming, false);
}

static void *background(void *argument)
{
	struct reclaim *reclaim = argument;

	pthread_setname_np(pthread_self(), "reclaim");
	while (!atomic_load(&reclaim->stop)) {
		if (pressed(reclaim)) {
			relieve(reclaim);
		} else {
			take_cold(reclaim);
			while (!atomic_load(&reclaim->stop) && !pressed(reclaim) &&
			       work_off_due(reclaim))
				;
		}
		breaks_measure(reclaim->memory, clock_now_ns());
		if (wait_tick(reclaim)) {
			fill_trim(reclaim->memory);
			split_trim(reclaim->memory);
		}
	}
	return NULL;
}

static void budget_pressed(struct budget *budget)
{
	struct reclaim *reclaim = container_of(budget, struct memory, budget)->reclaim;

	if (!atomic_exchange(&reclaim->woken, true))
		sem_post(&reclaim->wake);
}

/* Whether a device is at work and gets nowhere: what it will have written is memory, and says nothing of room. */
static bool store_stalled(struct reclaim *reclaim)
{
	struct hunger *hunger = &reclaim->hunger;
	struct source_stats stats;
	u64 longest = 0, now = clock_now_ns();
	bool tell;

	for (u32 state = 0; state < PAGE_STATES; state++) {
		struct page_source *source = reclaim->memory->sources[state];

		if (!source || !source->ops->stats)
			continue;
		source->ops->stats(source, &stats);
		longest = MAX(longest, stats.stalled_ns);
	}
	if (longest < reclaim_test_patience_ns / 10)
		return false;
	pthread_mutex_lock(&hunger->lock);
	hunger->since_ns = now;
	hunger->waited_ns = 0;
	tell = longest >= reclaim_test_patience_ns && now - hunger->told_ns >= TELL_AGAIN_NS;
	if (tell)
		hunger->told_ns = now;
	pthread_mutex_unlock(&hunger->lock);
	if (tell)
		log_warn(
			"the swap file's device has finished no write for %lu s: guests wait for it",
			longest / NSEC_PER_SEC);
	return true;
}

/* Adds a fault that waited from began_ns till now. Returns true when there was no room, and all that
 * was freed for a while were crumbs. A store that is slow but has room does not count: it is waited for. */
static bool starving(struct reclaim *reclaim, u64 began_ns)
{
	struct hunger *hunger = &reclaim->hunger;
	u64 now = clock_now_ns(), progress = atomic_load(&reclaim->progress);
	u64 refused = atomic_load(&reclaim->memory->evict_refused);
	bool over, crumbs;

	pthread_mutex_lock(&hunger->lock);
	hunger->waited_ns += now - began_ns;
	over = now - hunger->since_ns >= reclaim_test_patience_ns;
	crumbs = over && hunger->waited_ns >= reclaim_test_patience_ns / 2 &&
		 refused > hunger->refused && progress - hunger->progress < CRUMBS_BYTES;
	if (over) {
		hunger->since_ns = now;
		hunger->waited_ns = 0;
		hunger->progress = progress;
		hunger->refused = refused;
	}
	pthread_mutex_unlock(&hunger->lock);
	return crumbs;
}

/* One guest at a time: where one is on its way out already, the others wait for its memory. */
static bool give_up(struct reclaim *reclaim)
{
	struct hunger *hunger = &reclaim->hunger;
	u64 now = clock_now_ns();
	bool up;

	pthread_mutex_lock(&hunger->lock);
	up = !hunger->victim_ns || now - hunger->victim_ns >= GRACE * reclaim_test_patience_ns;
	if (up)
		hunger->victim_ns = now;
	pthread_mutex_unlock(&hunger->lock);
	return up;
}

static bool has_room(const struct budget *budget, u64 bytes)
{
	return budget_free(budget) >= budget->min + budget->breaks + bytes;
}

/* What a handler has found of room, or not, since it began to look: it may come back for more. */
static bool end_hunger(struct space *waiter, bool found)
{
	if (waiter)
		waiter->hungry_ns = 0;
	return found;
}

static bool direct_reclaim(struct memory *memory, u64 bytes, struct space *waiter)
{
	struct reclaim *reclaim = memory->reclaim;
	u64 began_ns = waiter && waiter->hungry_ns ? waiter->hungry_ns : clock_now_ns();
	u32 pause_us = 500;

	for (;;) {
		u64 before = atomic_load(&reclaim->progress);

		/* Somebody else may have been luckier, or have ended. */
		if (free_some(reclaim, bytes, DIRECT_ROOM_BYTES) > 0 ||
		    atomic_load(&reclaim->progress) != before)
			return end_hunger(waiter,
					  !starving(reclaim, began_ns) || !give_up(reclaim));
		if (has_room(&memory->budget, bytes))
			return end_hunger(waiter, true);
		usleep(pause_us);
		pause_us = 10000;
		if (store_stalled(reclaim))
			began_ns = clock_now_ns();
		else if (clock_now_ns() - began_ns >= reclaim_test_patience_ns && give_up(reclaim))
			return end_hunger(waiter, false);
		if (waiter && space_is_called(waiter)) {
			waiter->hungry_ns = began_ns;
			return true;
		}
	}
}

int reclaim_create(struct memory *memory, struct reclaimer *const *reclaimers, u32 tick_ms,
		   struct reclaim **out)
{
	struct reclaim *reclaim = calloc(1, sizeof(*reclaim));
	int result;

	if (!reclaim)
		return -ENOMEM;
	reclaim->memory = memory;
	reclaim->tick_ms = tick_ms;
	for (u32 i = 0; i < RECLAIMERS_MAX && reclaimers[i]; i++)
		reclaim->reclaimers[i] = reclaimers[i];
	sem_init(&reclaim->wake, 0, 0);
	pthread_mutex_init(&reclaim->hunger.lock, NULL);
	reclaim->hunger.since_ns = clock_now_ns();
	memory->reclaim = reclaim;
	memory->direct_reclaim = direct_reclaim;
	memory->budget.pressed = budget_pressed;
	result = thread_start(&reclaim->thread, background, reclaim);
	if (result) {
		log_error("the reclaim thread cannot start: %s", strerror(-result));
		free(reclaim);
		return result;
	}
	*out = reclaim;
	return 0;
}

void reclaim_set_tick(struct reclaim *reclaim, u32 tick_ms)
{
	atomic_store(&reclaim->tick_ms, tick_ms);
	budget_pressed(&reclaim->memory->budget);
}

/* Evicts one region, making room in the stores as often as that is all it takes. Returns bytes. */
static u64 evict_region(struct reclaim *reclaim, struct space *space, u64 region)
{
	s64 pages = -ENOSPC;

	for (u32 tries = 0; pages == -ENOSPC && tries < EVICT_TRIES; tries++) {
		pages = evict_pages(space, region * REGION_PAGES, REGION_PAGES, UINT32_MAX);
		for (u32 i = 1; pages == -ENOSPC && reclaim->reclaimers[i]; i++)
			scan(reclaim->reclaimers[i], MAKE_ROOM_BYTES);
	}
	if (pages > 0)
		atomic_fetch_add(&reclaim->progress, (u64)pages * PAGE_SIZE);
	return pages > 0 ? (u64)pages * PAGE_SIZE : 0;
}

/* All regions of a guest in turn, once. Returns bytes. */
static u64 go_round(struct reclaim *reclaim, struct space *space, u64 bytes, u64 deadline_ns)
{
	u64 first = atomic_load(&space->reclaim_hand), freed = 0;

	for (u64 i = 0; i < space->region_count && freed < bytes; i++) {
		u64 region = (first + i) % space->region_count;

		if (atomic_load(&space->failed) || clock_now_ns() >= deadline_ns)
			break;
		freed += evict_region(reclaim, space, region);
		atomic_store(&space->reclaim_hand, region + 1);
	}
	return freed;
}

/* What lies in sheets, or was written in the place of frames (mem/remap.h), is brought home first. Returns false when there is
 * nothing of that. */
static bool await_pages_home(const struct reclaim *reclaim, const struct space *space)
{
	struct sharing *sharing = reclaim->memory->sharing;

	if (!atomic_load(&space->counters.own) && !atomic_load(&space->counters.private))
		return false;
	sharing->ops->bring_home(sharing);
	usleep(10000);
	return true;
}

u64 reclaim_from(struct reclaim *reclaim, struct space *space, u64 bytes, u64 deadline_ns)
{
	u64 freed = 0;

	atomic_fetch_add(&space->reclaimed_from, 1);
	do
		freed += go_round(reclaim, space, bytes - freed, deadline_ns);
	while (freed < bytes && !atomic_load(&space->failed) && clock_now_ns() < deadline_ns &&
	       await_pages_home(reclaim, space));
	atomic_fetch_sub(&space->reclaimed_from, 1);
	return freed;
}

void reclaim_destroy(struct reclaim *reclaim)
{
	atomic_store(&reclaim->stop, true);
	sem_post(&reclaim->wake);
	pthread_join(reclaim->thread, NULL);
	reclaim->memory->budget.pressed = NULL;
	reclaim->memory->direct_reclaim = NULL;
	reclaim->memory->reclaim = NULL;
	pthread_mutex_destroy(&reclaim->hunger.lock);
	sem_destroy(&reclaim->wake);
	free(reclaim);
}
