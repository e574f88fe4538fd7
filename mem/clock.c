/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/entitlement.h"
#include "mem/evict.h"
#include "mem/space.h"

#define QUEUE_MAX    16384U		   /* regions between the hands: 32 GiB */
#define ZAP_BATCH    32U		   /* regions unmapped by one request */
#define ZAP_PATIENCE (100 * NSEC_PER_MSEC) /* a VMM that takes longer loses its second chance */
#define LAX_NS	     NSEC_PER_SEC /* so long nobody is spared, once those who should give cannot */
#define ALL_GROUPS   UINT32_MAX
#define PRESENT	     (1ULL << 63) /* in a pagemap entry */

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
	enum standing bar; /* who stands lower is spared */
	u64 lax_until_ns;  /* till then nobody is */
	u64 dry_since_ns;  /* nothing to look at since then; 0: there was */
};

static bool spared(const struct clock *clock, const struct space *space)
{
	return entitlement_standing(space) < clock->bar;
}

static void set_bar(struct clock *clock)
{
	clock->bar = clock_now_ns() < clock->lax_until_ns ? STANDING_WITHIN_MIN
							  : entitlement_highest(clock->memory);
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
	if (sample) {
		region->sampled = true;
		region->used = false;
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

/* The groups of a WHOLE region that are not mapped in the VMM: nobody has touched them. */
static u32 unmapped_groups(struct space *space, u32 region)
{
	u64 entries[REGION_PAGES];
	u64 hva = space_hva(space, (u64)region * REGION_PAGES);
	u32 idle = ALL_GROUPS;

	if (space->options.pagemap < 0 ||
	    pread(space->options.pagemap, entries, sizeof(entries),
		  (off_t)(hva / PAGE_SIZE * sizeof(entries[0]))) != (ssize_t)sizeof(entries))
		return ALL_GROUPS;
	for (u32 i = 0; i < REGION_PAGES; i++) {
		if (entries[i] & PRESENT)
			idle &= ~(1U << (i / GROUP_PAGES));
	}
	return idle;
}

/* What the back hand may take of a region. */
static u32 cold_groups(struct clock *clock, struct space *space, const struct candidate *candidate)
{
	struct region *region = &space->regions[candidate->region];
	u32 idle, forced = 0;
	bool whole, used;

	pthread_mutex_lock(&region->lock);
	region->sampled = false;
	used = region->used;
	idle = region->idle;
	whole = region->mapping == REGION_WHOLE;
	pthread_mutex_unlock(&region->lock);
	if (whole)
		idle = used ? 0 : unmapped_groups(space, candidate->region);
	if (clock->effort == EFFORT_FORCE) {
		forced = 0xffU << clock->rotation % REGION_GROUPS;
		clock->rotation += 8;
	}
	return idle | forced;
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
			clock->lax_until_ns = clock_now_ns() + LAX_NS;
	}
}

/* The hands keep half of the memory that may be taken between them. */
static u32 spread(const struct clock *clock)
{
	return (u32)MIN(entitlement_pages(clock->memory, clock->bar) / REGION_PAGES / 2 + 1,
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
	else if (clock->bar && now - clock->dry_since_ns > ZAP_PATIENCE)
		clock->lax_until_ns = now + LAX_NS;
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
	/* A bounded look: what is hot stays for a later call with more effort. */
	u32 looks = 4 * ZAP_BATCH;

	while (freed < (s64)(bytes / PAGE_SIZE) && looks--) {
		struct candidate candidate;
		struct space *space;
		s64 pages = 0;
		u32 groups;

		pthread_mutex_lock(&clock->lock);
		set_bar(clock);
		if (!next_candidate(clock, &candidate, &space)) {
			note_dry(clock);
			pthread_mutex_unlock(&clock->lock);
			break;
		}
		clock->dry_since_ns = 0;
		groups = cold_groups(clock, space, &candidate);
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
