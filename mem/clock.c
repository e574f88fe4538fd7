/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/clock.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "mem/entitlement.h"
#include "mem/evict.h"
#include "mem/space.h"

#define QUEUE_MAX    16384U		   /* regions between the hands: 32 GiB */
#define ZAP_BATCH    32U		   /* regions unmapped by one request */
#define ZAP_PATIENCE (100 * NSEC_PER_MSEC) /* a VMM that takes longer loses its second chance */
/* So long the others are asked, once those who should give cannot; and so long those within their min. */
#define LAX_KEEP_NS (3 * NSEC_PER_SEC)
#define LAX_MIN_NS  NSEC_PER_SEC
#define ALL_GROUPS   UINT32_MAX
#define FORCE_GROUPS 8U /* of a region at a time */

/* How hard the back hand tries. */
enum effort { EFFORT_COLD, EFFORT_BREAK, EFFORT_FORCE };

struct candidate {
	u32 space;
	u32 region;
	u64 zapped_ns;
};

struct clock {
	struct reclaimer reclaimer;
	struct memory *memory;
	/* Guards all below. Taken before region locks; not held while pages are evicted. */
	pthread_mutex_t lock;
	u32 hand_space;
	u32 hand_region;
	struct candidate *queue; /* between the hands, a ring */
	u32 head, length;
	enum effort effort;
	u32 barren;	   /* regions in a row that gave next to nothing */
	u32 rotation;	   /* which groups force takes next */
	enum standing floor; /* who stands lower is spared */
	enum standing bar; /* who stands lower gives nothing that is in use */
	enum standing lax; /* ... but not who stands so high, */
	u64 lax_until_ns;  /* ... till then */
	u64 dry_since_ns;  /* nothing to look at since then; 0: there was */
};

static bool spared(const struct clock *clock, const struct space *space)
{
	return entitlement_standing(space) < clock->floor;
}

/*
 * Memory in use is given by those who have more than is theirs. What nobody touches everybody gives, down to the mins,
 * when the host is short of memory: whoever misses something has more use for it.
 */
static void set_bar(struct clock *clock)
{
	const struct budget *budget = &clock->memory->budget;

	clock->bar = entitlement_highest(clock->memory);
	if (clock_now_ns() < clock->lax_until_ns)
		clock->bar = MIN(clock->bar, clock->lax);
	clock->floor = clock->bar;
	if (clock->bar < STANDING_ABOVE_LIMIT && budget_free(budget) < budget->high)
		clock->floor = MIN(clock->bar, STANDING_WITHIN_KEEP);
}

/* Those who should give cannot: the others are asked for a while. What is within a min only when those who
 * have more than theirs cannot either. */
static void loosen(struct clock *clock, u64 now_ns)
{
	bool again = clock->bar <= STANDING_WITHIN_KEEP;

	clock->lax = again ? STANDING_AT_SWAP_MAX : STANDING_WITHIN_KEEP;
	clock->lax_until_ns = now_ns + (again ? LAX_MIN_NS : LAX_KEEP_NS);
}

/* Whether the front hand should unmap this region; arms it if we look at groups. */
static bool sample_region(struct clock *clock, struct space *space, u64 index)
{
	struct region *region = &space->regions[index];
	bool sample;

	pthread_mutex_lock(&region->lock);
	sample = region->resident && !region->sampled;
	if (sample && region->protection) {
		region->protection--;
		sample = false;
	}
	if (sample && clock->effort >= EFFORT_BREAK)
		region_arm(space, index * REGION_PAGES);
	if (sample && clock->effort >= EFFORT_BREAK)
		region->watched = false;
	if (sample) {
		region->sampled = true;
		region->used = false;
		region->unmapped_s = 0;
		region->idle = ALL_GROUPS;
	}
	pthread_mutex_unlock(&region->lock);
	return sample;
}

static void enqueue(struct clock *clock, u32 space, u32 region)
{
	clock->queue[(clock->head + clock->length++) % QUEUE_MAX] = (struct candidate){
		.space = space,
		.region = region,
		.zapped_ns = clock_now_ns(),
	};
}

static void add_range(struct space_range *ranges, u32 *count, u64 region)
{
	struct space_range *last = *count ? &ranges[*count - 1] : NULL;

	if (last && last->file_offset + last->length == region * REGION_SIZE)
		last->length += REGION_SIZE;
	else
		ranges[(*count)++] = (struct space_range){region * REGION_SIZE, REGION_SIZE};
}

/* Moves the front hand over a batch of one guest's regions. Returns how many it unmapped. */
static u32 sample_space(struct clock *clock, struct space *space)
{
	struct space_range ranges[ZAP_BATCH];
	u32 count = 0, sampled = 0;

	while (clock->hand_region < space->region_count && sampled < ZAP_BATCH &&
	       clock->length < QUEUE_MAX) {
		u32 index = clock->hand_region++;

		if (!sample_region(clock, space, index))
			continue;
		add_range(ranges, &count, index);
		enqueue(clock, space->id, index);
		sampled++;
	}
	if (count)
		space_zap(space, ranges, count);
	return sampled;
}

/* Moves the front hand until it has unmapped a batch, or once around. */
static void advance_front(struct clock *clock)
{
	for (u32 i = 0; i <= MEMORY_MAX_SPACES; i++) {
		struct space *space = memory_get_space(clock->memory, clock->hand_space);
		u32 sampled = 0;
		bool busy = false;

		if (space) {
			busy = atomic_load(&space->zap_pending) || spared(clock, space);
			if (!busy)
				sampled = sample_space(clock, space);
			if (!busy && clock->hand_region < space->region_count) {
				space_put(space);
				return;
			}
			space_put(space);
		}
		clock->hand_space = (clock->hand_space + 1) % MEMORY_MAX_SPACES;
		clock->hand_region = 0;
		if (sampled)
			return;
	}
}

/* Which groups of a region nobody has touched since the front hand was there. */
static u32 cold_groups(struct space *space, const struct candidate *candidate)
{
	struct region *region = &space->regions[candidate->region];
	bool whole, used;
	u32 idle;

	pthread_mutex_lock(&region->lock);
	region->sampled = false;
	used = region->used;
	idle = region->idle;
	whole = region->mapping == REGION_WHOLE;
	pthread_mutex_unlock(&region->lock);
	if (whole && used)
		idle = 0;
	else if (whole && region_unmapped(space, (u64)candidate->region * REGION_PAGES, &idle))
		idle = ALL_GROUPS;
	return idle;
}

/* Which groups are taken whoever uses them. */
static u32 forced_groups(struct clock *clock, const struct space *space)
{
	if (clock->effort < EFFORT_FORCE || entitlement_standing(space) < clock->bar)
		return 0;
	clock->rotation += FORCE_GROUPS;
	return ((1U << FORCE_GROUPS) - 1) << clock->rotation % REGION_GROUPS;
}

/* Remembers how fruitful the hand's turn is, and changes its effort after a full one. */
static void judge(struct clock *clock, s64 pages)
{
	if (pages >= (s64)GROUP_PAGES) {
		clock->barren = 0;
		if (pages >= (s64)REGION_PAGES / 2 && clock->effort)
			clock->effort--;
	} else if (++clock->barren > clock->length + ZAP_BATCH) {
		clock->barren = 0;
		if (clock->effort < EFFORT_FORCE)
			clock->effort++;
		else if (clock->bar)
			loosen(clock, clock_now_ns());
	}
	atomic_store_explicit(&clock->memory->straining, clock->effort == EFFORT_FORCE,
			      memory_order_relaxed);
}

/* The hands keep half of the memory that may be taken between them. */
static u32 spread(const struct clock *clock)
{
	return (u32)MIN(entitlement_pages(clock->memory, clock->floor) / REGION_PAGES / 2 + 1,
			(u64)QUEUE_MAX);
}

/* A candidate that is spared after all: it can be a candidate again later. */
static void let_go(struct space *space, const struct candidate *candidate)
{
	struct region *region = &space->regions[candidate->region];

	pthread_mutex_lock(&region->lock);
	region->sampled = false;
	pthread_mutex_unlock(&region->lock);
}

static bool answered(const struct space *space, const struct candidate *candidate)
{
	return !atomic_load(&space->zap_pending) ||
	       clock_now_ns() - candidate->zapped_ns > ZAP_PATIENCE;
}

/* The next region for the back hand, with a reference to its space; false: none, or none yet. */
static bool next_candidate(struct clock *clock, struct candidate *candidate, struct space **space)
{
	if (clock->length < spread(clock))
		advance_front(clock);
	while (clock->length) {
		*candidate = clock->queue[clock->head % QUEUE_MAX];
		*space = memory_get_space(clock->memory, candidate->space);
		if (*space && candidate->region < (*space)->region_count &&
		    !answered(*space, candidate)) {
			space_put(*space);
			return false;
		}
		clock->head++;
		clock->length--;
		if (*space && candidate->region < (*space)->region_count) {
			if (!spared(clock, *space))
				return true;
			let_go(*space, candidate);
		}
		if (*space)
			space_put(*space);
	}
	return false;
}

/* Nobody who may be asked has anything to look at: a VMM that does not answer, regions that are all held. It
 * must not shield the others for long. */
static void note_dry(struct clock *clock)
{
	u64 now = clock_now_ns();

	if (!clock->dry_since_ns)
		clock->dry_since_ns = now;
	if (!clock->bar || now - clock->dry_since_ns <= ZAP_PATIENCE)
		return;
	loosen(clock, now);
	clock->dry_since_ns = now;
}

static struct clock *clock_of(struct reclaimer *reclaimer)
{
	return container_of(reclaimer, struct clock, reclaimer);
}

static u64 clock_count(struct reclaimer *reclaimer)
{
	return memory_resident_pages(clock_of(reclaimer)->memory) * PAGE_SIZE;
}

static s64 clock_scan(struct reclaimer *reclaimer, u64 bytes)
{
	struct clock *clock = clock_of(reclaimer);
	s64 freed = 0, error = 0;
	enum standing first = STANDING_AT_SWAP_MAX;
	/* A bounded look: what is hot stays for a later call with more effort. */
	u32 looks = 4 * ZAP_BATCH;

	while (freed < (s64)(bytes / PAGE_SIZE) && looks--) {
		struct candidate candidate;
		struct space *space;
		s64 pages = 0;
		u32 groups;

		pthread_mutex_lock(&clock->lock);
		set_bar(clock);
		first = MAX(first, clock->bar);
		/* Those who were to give have given; whether others should is not for us to say. */
		if (freed && clock->bar < first) {
			pthread_mutex_unlock(&clock->lock);
			break;
		}
		if (!next_candidate(clock, &candidate, &space)) {
			note_dry(clock);
			pthread_mutex_unlock(&clock->lock);
			break;
		}
		clock->dry_since_ns = 0;
		groups = cold_groups(space, &candidate) | forced_groups(clock, space);
		entitlement_leave(space);
		pthread_mutex_unlock(&clock->lock);

		if (groups)
			pages = evict_pages(space, (u64)candidate.region * REGION_PAGES,
					    REGION_PAGES, groups);
		entitlement_left(space);
		space_put(space);
		/* A page in use, one that does not compress, or a guest that just died: says nothing about
		 * the others. */
		if (pages < 0 && pages != -EAGAIN && pages != -E2BIG && pages != -ESRCH)
			error = pages;
		pthread_mutex_lock(&clock->lock);
		if (!error)
			judge(clock, pages);
		pthread_mutex_unlock(&clock->lock);
		freed += MAX(pages, 0);
		if (error)
			break;
	}
	return freed ? freed * (s64)PAGE_SIZE : error;
}

static const struct reclaimer_ops clock_ops = {
	.name = "evict",
	.count = clock_count,
	.scan = clock_scan,
};

struct clock *clock_create(struct memory *memory)
{
	struct clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return NULL;
	clock->queue = calloc(QUEUE_MAX, sizeof(*clock->queue));
	if (!clock->queue) {
		free(clock);
		return NULL;
	}
	clock->reclaimer.ops = &clock_ops;
	clock->memory = memory;
	pthread_mutex_init(&clock->lock, NULL);
	return clock;
}

void clock_destroy(struct clock *clock)
{
	pthread_mutex_destroy(&clock->lock);
	free(clock->queue);
	free(clock);
}

struct reclaimer *clock_reclaimer(struct clock *clock)
{
	return &clock->reclaimer;
}
