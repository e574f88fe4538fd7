/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/entitlement.h"

#include "mem/space.h"

/* A guest within a region of its goal is at it: otherwise every page it gains would make it the one who
 * has to give, and every page it gives somebody else. */
#define SLACK REGION_PAGES
/* Room for the next fill: so much below its limit a guest is as good as there. */
#define FILL_ROOM 64U
/* A guest with room for less in its swap_max is as good as at it: a region frozen for the sake of a few pages is dear,
 * and looks as if the clock had to try harder. */
#define STORE_ROOM GROUP_PAGES

void entitlement_init(struct entitlement *entitlement)
{
	atomic_init(&entitlement->min, 0);
	atomic_init(&entitlement->keep, UINT64_MAX);
	atomic_init(&entitlement->goal, UINT64_MAX);
	atomic_init(&entitlement->limit, UINT64_MAX);
	atomic_init(&entitlement->swap_max, UINT64_MAX);
	atomic_init(&entitlement->storing, 0);
	atomic_init(&entitlement->leaving, 0);
	atomic_init(&entitlement->cold_ms, 0);
	atomic_init(&entitlement->shares, 1);
	atomic_init(&entitlement->blocked, false);
}

static u64 bound(const _Atomic u64 *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
}

static bool above(u64 pages, u64 figure)
{
	return figure <= UINT64_MAX - SLACK && pages > figure + SLACK;
}

/* Whoever takes memory takes a region: with no more left above it, a min is in danger. */
static bool close_to(u64 pages, u64 min)
{
	return min && pages <= min + REGION_PAGES;
}

static u64 resident(const struct space *space)
{
	return page_table_count(&space->table, PAGE_RESIDENT);
}

/* What is left of it when all evictions under way succeed. */
static u64 staying(const struct space *space)
{
	u64 pages = resident(space), leaving = bound(&space->entitlement.leaving);

	return pages > leaving ? pages - leaving : 0;
}

void entitlement_leave(struct space *space)
{
	atomic_fetch_add_explicit(&space->entitlement.leaving, REGION_PAGES, memory_order_relaxed);
}

void entitlement_left(struct space *space)
{
	atomic_fetch_sub_explicit(&space->entitlement.leaving, REGION_PAGES, memory_order_relaxed);
}

/* In this order: a page that is written back meanwhile is counted twice rather than not at all. */
static u64 stored(const struct space *space)
{
	u64 compressed = page_table_count(&space->table, PAGE_COMPRESSED);

	return compressed + page_table_count(&space->table, PAGE_DISK);
}

/* Whether so many pages more may be stored. */
static bool has_room(const struct space *space, u64 pages)
{
	u64 most = bound(&space->entitlement.swap_max), has = stored(space);

	return has <= most && pages <= most - has;
}

bool entitlement_store(struct space *space)
{
	_Atomic u64 *storing = &space->entitlement.storing;
	bool room = has_room(space, atomic_fetch_add(storing, 1) + 1);

	if (!room)
		atomic_fetch_sub(storing, 1);
	return room;
}

void entitlement_stored(struct space *space, u32 pages)
{
	atomic_fetch_sub(&space->entitlement.storing, pages);
}

enum standing entitlement_standing(const struct space *space)
{
	const struct entitlement *mine = &space->entitlement;
	u64 pages = staying(space);

	if (!has_room(space, STORE_ROOM))
		return STANDING_AT_SWAP_MAX;
	if (entitlement_is_full(space, FILL_ROOM))
		return STANDING_ABOVE_LIMIT;
	if (close_to(pages, bound(&mine->min)))
		return STANDING_WITHIN_MIN;
	if (turns_has(space))
		return STANDING_IN_TURN;
	if (above(pages, bound(&mine->goal)))
		return STANDING_ABOVE_GOAL;
	return above(pages, bound(&mine->keep)) ? STANDING_ABOVE_KEEP : STANDING_WITHIN_KEEP;
}

static bool gives(const struct space *space)
{
	return !atomic_load_explicit(&space->failed, memory_order_relaxed) && resident(space);
}

enum standing entitlement_highest(struct memory *memory)
{
	u32 used = atomic_load(&memory->slots_used);
	enum standing highest = STANDING_AT_SWAP_MAX;

	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);

		if (!space)
			continue;
		if (gives(space))
			highest = MAX(highest, entitlement_standing(space));
		space_put(space);
	}
	return highest;
}

u64 entitlement_pages(struct memory *memory, enum standing least)
{
	u32 used = atomic_load(&memory->slots_used);
	u64 pages = 0;

	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);

		if (!space)
			continue;
		if (gives(space) && entitlement_standing(space) >= least)
			pages += resident(space);
		space_put(space);
	}
	return pages;
}

u32 entitlement_held_back(struct memory *memory)
{
	u32 used = atomic_load(&memory->slots_used), count = 0;

	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);

		if (!space)
			continue;
		count += gives(space) && entitlement_standing(space) == STANDING_AT_SWAP_MAX;
		space_put(space);
	}
	return count;
}

bool entitlement_is_full(const struct space *space, u64 pages)
{
	u64 limit = bound(&space->entitlement.limit), has = resident(space);

	return has >= limit || pages > limit - has;
}
