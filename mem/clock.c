/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/clock.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "mem/around.h"
#include "mem/entitlement.h"
#include "mem/evict.h"
#include "mem/space.h"
#include "mem/split.h"

#define QUEUE_MAX    16384U		   /* regions between the hands: 32 GiB */
#define ZAP_BATCH    32U		   /* regions unmapped by one request */
#define SPLIT_BATCH  4U		   /* ... of which so many are split: each takes some 0.7 ms */
#define ZAP_PATIENCE (100 * NSEC_PER_MSEC) /* a VMM that takes longer loses its second chance */
/* So long the others are asked, once those who should give cannot; and so long those within their min. */
#define LAX_KEEP_NS (3 * NSEC_PER_SEC)
#define LAX_MIN_NS  NSEC_PER_SEC
/* So much of the memory that may be taken lies between the hands. What comes back stays for a turn, and a page is in use
 * if it is touched once while they pass: the nearer this is to a turn, the less stays that is touched once only. */
#define SPREAD_NUM   3
#define SPREAD_DEN   4
#define FORCE_GROUPS 8U /* of a region at a time */

/* While nobody wants memory: regions looked at in one go, some 15 us each. */
#define REST_BATCH    128U
#define REST_PAGES    (16 * REGION_PAGES) /* ... or mapped */
#define REST_LEFT_OUT (64 * NSEC_PER_SEC) /* at most, when little was found in use */

/* How hard the back hand tries. */
enum effort { EFFORT_COLD, EFFORT_BREAK, EFFORT_FORCE };

struct candidate {
	u32 space;
	u32 region;
	u64 zapped_ns;
	u32 pages;  /* resident then */
	bool again; /* it was here before, but the store was full */
	u32 zap;    /* its place among the answered: space.zaps is that or more once it is */
};

/* Of the looks between the hands while they rest. */
struct rest {
	u32 place;    /* in the queue, that is looked at next */
	u32 barren;   /* regions in a row of which little was in use */
	u64 pause_ns; /* to the next look, */
	u64 until_ns; /* ... which is then */
};

/* Pages of a region, a bit each. */
struct victims {
	u64 pages[REGION_PAGES / 64];
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
	u64 between; /* pages that were resident in those regions, when they were unmapped */
	struct rest rest;
	enum effort effort;
	u32 barren;	     /* regions in a row that gave next to nothing */
	u32 rotation;	     /* which groups force takes next */
	enum standing floor; /* who stands lower is spared */
	enum standing bar;   /* who stands lower gives nothing that is in use */
	enum standing lax;   /* ... but not who stands so high, */
	u64 lax_until_ns;    /* ... till then */
	u64 dry_since_ns;    /* nothing to look at since then; 0: there was */
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

/* Those who should give cannot: the others are asked for a while. Who has a turn only when those who have more than
 * theirs cannot either, and what is within a min only when nobody can. */
static void loosen(struct clock *clock, u64 now_ns)
{
	bool again = clock->bar <= STANDING_WITHIN_KEEP;

	if (clock->bar == STANDING_WITHIN_KEEP)
		clock->lax = STANDING_IN_TURN;
	else
		clock->lax = again ? STANDING_AT_SWAP_MAX : STANDING_WITHIN_KEEP;
	clock->lax_until_ns = now_ns + (again ? LAX_MIN_NS : LAX_KEEP_NS);
}

/* Armed and in small pages, so that what is idle in it can be told from what is not. Region's lock held. */
static void break_region(struct space *space, u64 index, u32 *splits)
{
	struct region *region = &space->regions[index];

	if (region_arm(space, index * REGION_PAGES))
		return;
	region->watched = false;
	if (region->huge && !split_all(space, index * REGION_PAGES))
		(*splits)++;
}

/* Returns the pages of a region that the front hand should unmap, or 0; breaks it if we look inside. */
static u32 sample_region(struct clock *clock, struct space *space, u64 index, u32 *splits)
{
	struct region *region = &space->regions[index];
	bool sample;
	u32 pages;

	pthread_mutex_lock(&region->lock);
	sample = region->resident > region->own + region->private && !region->sampled;
	if (sample && region->protection) {
		region->protection--;
		sample = false;
	}
	if (sample && clock->effort >= EFFORT_BREAK)
		break_region(space, index, splits);
	if (sample) {
		region->sampled = true;
		region->used = 0;
		region->unmapped_s = 0;
	}
	pages = sample ? region->resident : 0;
	pthread_mutex_unlock(&region->lock);
	return pages;
}

/* Nothing is asked of the VMM just now, so that the next answer is to what comes. */
static void enqueue(struct clock *clock, const struct space *space, u32 region, u32 pages)
{
	clock->between += pages;
	clock->rest = (struct rest){.place = clock->rest.place};
	clock->queue[(clock->head + clock->length++) % QUEUE_MAX] = (struct candidate){
		.space = space->id,
		.region = region,
		.zapped_ns = clock_now_ns(),
		.pages = pages,
		.zap = atomic_load(&space->zaps) + 1,
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
	u32 count = 0, sampled = 0, splits = 0;

	while (clock->hand_region < space->region_count && sampled < ZAP_BATCH &&
	       splits < SPLIT_BATCH && clock->length < QUEUE_MAX) {
		u32 index = clock->hand_region++;
		u32 pages = sample_region(clock, space, index, &splits);

		if (!pages)
			continue;
		add_range(ranges, &count, index);
		enqueue(clock, space, index, pages);
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

static bool answered(const struct space *space, const struct candidate *candidate)
{
	return (s32)(atomic_load(&space->zaps) - candidate->zap) >= 0;
}

static void add_groups(struct victims *victims, u32 groups)
{
	for (u32 i = 0; i < REGION_GROUPS; i++) {
		if (groups >> i & 1)
			victims->pages[i * GROUP_PAGES / 64] |= 0xffffULL << i * GROUP_PAGES % 64;
	}
}

static void spare_groups(struct victims *victims, u32 groups)
{
	struct victims spared = {{0}};

	add_groups(&spared, groups);
	for (u32 i = 0; i < ARRAY_SIZE(victims->pages); i++)
		victims->pages[i] &= ~spared.pages[i];
}

/* Leaves out pages of whose group some are in use. */
static void whole_groups_only(struct victims *victims)
{
	u32 used = 0;

	for (u32 i = 0; i < REGION_GROUPS; i++)
		used |= (u32)(region_group(victims->pages, i) != GROUP_ALL) << i;
	spare_groups(victims, used);
}

/* The pages of a region that nobody has touched since the front hand was there. Where that cannot be seen, or the VMM
 * does not answer, that is all but those that were filled since. */
static void find_cold(const struct clock *clock, struct space *space,
		      const struct candidate *candidate, struct victims *victims)
{
	struct region *region = &space->regions[candidate->region];
	u32 used;

	pthread_mutex_lock(&region->lock);
	region->sampled = false;
	used = region->used;
	pthread_mutex_unlock(&region->lock);
	if (!space_is_sampled(space) || !answered(space, candidate) ||
	    region_unmapped(space, (u64)candidate->region * REGION_PAGES, victims->pages))
		add_groups(victims, UINT32_MAX);
	if (clock->effort == EFFORT_COLD)
		whole_groups_only(victims);
	spare_groups(victims, used);
}

/* Adds what is taken whoever uses it. */
static void find_forced(struct clock *clock, const struct space *space, struct victims *victims)
{
	if (clock->effort < EFFORT_FORCE || entitlement_standing(space) < clock->bar)
		return;
	clock->rotation += FORCE_GROUPS;
	add_groups(victims, ((1U << FORCE_GROUPS) - 1) << clock->rotation % REGION_GROUPS);
}

static bool is_empty(const struct victims *victims)
{
	u64 any = 0;

	for (u32 i = 0; i < ARRAY_SIZE(victims->pages); i++)
		any |= victims->pages[i];
	return !any;
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

/* The hands keep most of the memory that may be taken between them. */
static bool too_close(const struct clock *clock)
{
	return clock->length < QUEUE_MAX &&
	       clock->between <
		       entitlement_pages(clock->memory, clock->floor) * SPREAD_NUM / SPREAD_DEN;
}

/* A candidate that is spared after all: it can be a candidate again later. */
static void let_go(struct space *space, const struct candidate *candidate)
{
	struct region *region = &space->regions[candidate->region];

	pthread_mutex_lock(&region->lock);
	region->sampled = false;
	pthread_mutex_unlock(&region->lock);
}

/* Whether the VMM has had its time to unmap it. */
static bool ripe(const struct space *space, const struct candidate *candidate)
{
	return !space_can_zap(space) || answered(space, candidate) ||
	       clock_now_ns() - candidate->zapped_ns > ZAP_PATIENCE;
}

/* The next region for the back hand, with a reference to its space; false: none, or none yet. */
static bool next_candidate(struct clock *clock, struct candidate *candidate, struct space **space)
{
	if (!clock->length || too_close(clock))
		advance_front(clock);
	while (clock->length) {
		*candidate = clock->queue[clock->head % QUEUE_MAX];
		*space = memory_get_space(clock->memory, candidate->space);
		if (*space && candidate->region < (*space)->region_count &&
		    !ripe(*space, candidate)) {
			space_put(*space);
			return false;
		}
		clock->head++;
		clock->length--;
		clock->between -= candidate->pages;
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

/* Some of it could not be stored. Room will be made, and it is the next to go then: passed over, it would stay another
 * turn, and the hands would go round faster than they need to. Clock's lock held. */
static void put_back(struct clock *clock, struct space *space, const struct candidate *candidate)
{
	struct region *region = &space->regions[candidate->region];
	bool sampled;

	if (candidate->again || clock->length == QUEUE_MAX)
		return;
	pthread_mutex_lock(&region->lock);
	sampled = region->sampled;
	region->sampled = true;
	pthread_mutex_unlock(&region->lock);
	if (sampled)
		return;
	clock->queue[--clock->head % QUEUE_MAX] = *candidate;
	clock->queue[clock->head % QUEUE_MAX].again = true;
	clock->length++;
	clock->between += candidate->pages;
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
		struct victims victims = {{0}};
		struct candidate candidate;
		struct space *space;
		s64 pages = 0;
		bool full = false;

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
		find_cold(clock, space, &candidate, &victims);
		find_forced(clock, space, &victims);
		entitlement_leave(space);
		pthread_mutex_unlock(&clock->lock);

		if (!is_empty(&victims))
			pages = evict_unmapped(space, (u64)candidate.region * REGION_PAGES,
					       victims.pages, &full);
		entitlement_left(space);
		/* A page in use, one that does not compress, or a guest that just died: says nothing about
		 * the others. */
		if (pages < 0 && pages != -EAGAIN && pages != -E2BIG && pages != -ESRCH)
			error = pages;
		pthread_mutex_lock(&clock->lock);
		if (!error)
			judge(clock, pages);
		if (full)
			put_back(clock, space, &candidate);
		pthread_mutex_unlock(&clock->lock);
		space_put(space);
		freed += MAX(pages, 0);
		if (error || full)
			break;
	}
	return freed ? freed * (s64)PAGE_SIZE : error;
}

/* A region between the hands, whose space can be asked what its guest uses, with a reference to it; or NULL. Where single
 * pages are told apart, none. */
static struct space *next_at_rest(struct clock *clock, u64 *index)
{
	struct space *space = NULL;
	struct candidate candidate;

	pthread_mutex_lock(&clock->lock);
	if (clock->length && clock->effort == EFFORT_COLD) {
		candidate = clock->queue[(clock->head + clock->rest.place++ % clock->length) %
					 QUEUE_MAX];
		space = memory_get_space(clock->memory, candidate.space);
	}
	pthread_mutex_unlock(&clock->lock);
	if (!space)
		return NULL;
	*index = (u64)candidate.region * REGION_PAGES;
	if (candidate.region < space->region_count && space_is_sampled(space) &&
	    answered(space, &candidate))
		return space;
	space_put(space);
	return NULL;
}

/* Returns how many regions to look at now. */
static u32 begin_rest(struct clock *clock, u64 now_ns)
{
	u32 looks;

	pthread_mutex_lock(&clock->lock);
	looks = now_ns < clock->rest.until_ns ? 0 : MIN(clock->length, REST_BATCH);
	pthread_mutex_unlock(&clock->lock);
	return looks;
}

/* A page for each region is what makes looking worth it. Returns whether to look again soon. */
static bool end_rest(struct clock *clock, u32 looks, u32 mapped, u64 now_ns)
{
	struct rest *rest = &clock->rest;
	bool soon;

	pthread_mutex_lock(&clock->lock);
	rest->barren = mapped < looks ? rest->barren + looks : 0;
	soon = rest->barren < clock->length;
	rest->pause_ns = soon ? 0 : MIN(2 * rest->pause_ns + NSEC_PER_SEC, REST_LEFT_OUT);
	rest->until_ns = now_ns + rest->pause_ns;
	pthread_mutex_unlock(&clock->lock);
	return soon;
}

/* What was unmapped is mapped again where it is in use. */
static bool clock_rest(struct reclaimer *reclaimer)
{
	struct clock *clock = clock_of(reclaimer);
	u64 now_ns = clock_now_ns();
	u32 looks = begin_rest(clock, now_ns), mapped = 0;

	for (u32 i = 0; i < looks && mapped < REST_PAGES; i++) {
		u64 index;
		struct space *space = next_at_rest(clock, &index);

		if (!space)
			continue;
		mapped += around_map(space, index);
		space_put(space);
	}
	return looks && end_rest(clock, looks, mapped, now_ns);
}

static const struct reclaimer_ops clock_ops = {
	.name = "evict",
	.count = clock_count,
	.scan = clock_scan,
	.rest = clock_rest,
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
