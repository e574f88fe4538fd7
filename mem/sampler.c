/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/sampler.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "mem/pagemap.h"

#define TRIES 16U /* to find a page at home at random */

struct place {
	u64 first, count; /* pages */
	bool drawn;	  /* there is a place here */
	bool unmapped;	  /* ... which was unmapped, */
	u64 unmapped_ns;  /* ... then, and not seen in use since */
	u64 touched_ns;	  /* when it was last seen in use; 0: never */
	u64 known_ns;	  /* since when we have looked at it */
};

struct sampler {
	u64 random;
	u32 quick, slow; /* places to be exchanged next */
	u64 slow_ns;	 /* when the last of the slow ones was */
	u32 count;	 /* of places in use */
	struct place places[SAMPLER_PLACES_MAX];
};

/* Places, from the first, that are soon given up for others. */
static u32 quick_places(const struct sampler *sampler)
{
	return sampler->count / 2;
}

struct sampler *sampler_create(u64 seed)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));

	if (sampler)
		sampler->random = seed * 2 + 1;
	return sampler;
}

/* xorshift64 (Marsaglia 2003). */
static u64 next_random(struct sampler *sampler)
{
	sampler->random ^= sampler->random << 13;
	sampler->random ^= sampler->random >> 7;
	sampler->random ^= sampler->random << 17;
	return sampler->random;
}

/* In the RAM file: a frame in its place cannot be unmapped, and what was written there comes home before long. */
static bool at_home(const struct space *space, u64 index)
{
	return page_word_at_home(page_table_read(&space->table, index));
}

/* The place around a page, as it can be unmapped now. */
static void set_extent(struct space *space, struct place *place, u64 index)
{
	struct region *region = space_region(space, index);
	u64 size;

	pthread_mutex_lock(&region->lock);
	size = region->mapping == REGION_WHOLE ? REGION_PAGES : GROUP_PAGES;
	pthread_mutex_unlock(&region->lock);
	place->first = ALIGN_DOWN(index, size);
	place->count = size;
}

static void draw(struct sampler *sampler, struct space *space, struct place *place, u64 now_ns)
{
	place->drawn = false;
	for (u32 i = 0; i < TRIES && !place->drawn; i++) {
		u64 index = next_random(sampler) % space->table.pages;

		if (!at_home(space, index))
			continue;
		set_extent(space, place, index);
		place->drawn = true;
		place->unmapped = false;
		place->touched_ns = 0;
		place->known_ns = now_ns;
	}
}

/* Whether any page of it is mapped in the VMM; -errno when that cannot be told. */
static int is_mapped(const struct space *space, const struct place *place)
{
	u64 entries[REGION_PAGES];

	if (pagemap_read(space, place->first, place->count, entries))
		return -EIO;
	for (u64 i = 0; i < place->count; i++) {
		if (pagemap_at_home(space, place->first + i, entries[i]))
			return 1;
	}
	return 0;
}

/* A place of which nothing is left is none. */
static bool still_there(const struct space *space, const struct place *place)
{
	for (u64 i = place->first; i < place->first + place->count; i++) {
		if (at_home(space, i))
			return true;
	}
	return false;
}

static void judge(struct place *place, bool mapped, const struct sampler_look *look,
		  struct sampler_view *view)
{
	u64 known_ns = look->now_ns - place->known_ns;

	if (mapped && place->unmapped)
		place->touched_ns = look->now_ns;
	if (mapped)
		place->unmapped = false;
	if (known_ns && known_ns >= look->window_ns) {
		view->looked++;
		view->touched +=
			place->touched_ns && look->now_ns - place->touched_ns < look->window_ns;
	}
	if (known_ns < look->cold_ns)
		return;
	view->aged++;
	view->cold += place->unmapped && look->now_ns - place->unmapped_ns >= look->cold_ns;
}

/* Takes a place that is mapped out of the VMM's page tables. Where the clock waits to see whether it is mapped again, it
 * must be told that it was. */
static void note_use(struct space *space, const struct place *place)
{
	struct region *region = space_region(space, place->first);

	pthread_mutex_lock(&region->lock);
	for (u64 i = place->first; i < place->first + place->count; i += GROUP_PAGES)
		region_note_use(space, i);
	region->unmapped_s = 0;
	pthread_mutex_unlock(&region->lock);
}

static int look_at(struct sampler *sampler, struct space *space, const struct sampler_look *look,
		   struct sampler_view *view, struct space_range *ranges, u32 *count)
{
	u64 now_ns = look->now_ns;

	for (u32 i = 0; i < sampler->count; i++) {
		struct place *place = &sampler->places[i];
		int mapped;

		if (place->drawn && !still_there(space, place))
			place->drawn = false;
		if (!place->drawn)
			draw(sampler, space, place, now_ns);
		if (!place->drawn)
			continue;
		mapped = is_mapped(space, place);
		if (mapped < 0)
			return mapped;
		judge(place, mapped, look, view);
		if (mapped) {
			set_extent(space, place, place->first);
			note_use(space, place);
			ranges[(*count)++] = (struct space_range){place->first * PAGE_SIZE,
								  place->count * PAGE_SIZE};
		}
		if (!place->unmapped)
			place->unmapped_ns = now_ns;
		place->unmapped = true;
	}
	return 0;
}

/* What could not be unmapped is not to be counted next time. */
static void forget(struct sampler *sampler, u64 now_ns)
{
	for (u32 i = 0; i < sampler->count; i++) {
		if (sampler->places[i].unmapped_ns == now_ns)
			sampler->places[i].unmapped = false;
	}
}

/* Those that there are no longer are none. */
static void set_count(struct sampler *sampler, const struct space *space, u32 percent)
{
	u64 wanted = space->region_count * percent / 100;
	u32 count = (u32)MIN(MAX(wanted, (u64)SAMPLER_PLACES), (u64)SAMPLER_PLACES_MAX);

	for (u32 i = count; i < sampler->count; i++)
		sampler->places[i].drawn = false;
	sampler->count = count;
}

/*
 * Half of the places change with every look, a sixteenth of them at a time, so that chance evens out. The others
 * stay for twice the time that makes memory cold: who is to be found old must be known for long.
 */
static void exchange(struct sampler *sampler, const struct sampler_look *look)
{
	u32 quick = quick_places(sampler), slow = sampler->count - quick;
	u64 due = (look->now_ns - sampler->slow_ns) / MAX(2 * look->cold_ns / slow, 1UL);

	for (u32 i = 0; i < quick / 16; i++)
		sampler->places[sampler->quick++ % quick].drawn = false;
	if (!due)
		return;
	sampler->slow_ns = look->now_ns;
	for (u32 i = 0; i < MIN(due, (u64)slow); i++)
		sampler->places[quick + sampler->slow++ % slow].drawn = false;
}

int sampler_look(struct sampler *sampler, struct space *space, const struct sampler_look *look,
		 struct sampler_view *view)
{
	struct space_range ranges[SAMPLER_PLACES_MAX];
	u32 count = 0;
	int result;

	*view = (struct sampler_view){0};
	if (space->options.pagemap < 0 || !space_can_zap(space))
		return -ENOTSUP;
	if (atomic_load(&space->zap_pending))
		return -EBUSY;
	set_count(sampler, space, look->percent);
	exchange(sampler, look);
	result = look_at(sampler, space, look, view, ranges, &count);
	if (result) {
		*view = (struct sampler_view){0};
		return -ENOTSUP;
	}
	if (count && space_zap(space, ranges, count))
		forget(sampler, look->now_ns);
	return 0;
}

u32 sampler_ages(const struct sampler *sampler, u64 now_ns, u32 ages[SAMPLER_AGES])
{
	u32 count = 0;

	for (u32 i = 0; i < SAMPLER_AGES; i++)
		ages[i] = 0;
	for (u32 i = 0; i < sampler->count; i++) {
		const struct place *place = &sampler->places[i];
		u64 seconds = place->unmapped ? (now_ns - place->unmapped_ns) / NSEC_PER_SEC : 0;
		u32 step = 0;

		if (!place->drawn)
			continue;
		while (step + 1 < SAMPLER_AGES && seconds >> step)
			step++;
		ages[step]++;
		count++;
	}
	return count;
}

u64 sampler_bytes(const struct sampler *sampler)
{
	u64 pages = 0;

	for (u32 i = 0; i < sampler->count; i++)
		pages += sampler->places[i].drawn ? sampler->places[i].count : 0;
	return pages * PAGE_SIZE;
}
