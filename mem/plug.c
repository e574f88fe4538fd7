/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader takes the pointer to the table and looks; whoever changes something makes a new table. The old ones
 * stay until the space ends, so a reader needs no lock: they are small, and so is the number of changes that a
 * VMM is granted.
 */
#include "mem/plug.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/span.h"

#define CHANGES_MAX 1024U

static const struct space_map *map_of(const struct space *space)
{
	return atomic_load_explicit(&space->map, memory_order_acquire);
}

u64 space_hva(const struct space *space, u64 index)
{
	const struct space_map *map = map_of(space);
	u64 offset = index * PAGE_SIZE;

	for (u32 i = 0; i < map->count; i++) {
		const struct space_mapping *mapping = &map->mapping[i];

		if (offset - mapping->file_offset < mapping->length)
			return mapping->hva + (offset - mapping->file_offset);
	}
	return 0;
}

s64 space_index(const struct space *space, u64 hva)
{
	const struct space_map *map = map_of(space);

	for (u32 i = 0; i < map->count; i++) {
		const struct space_mapping *mapping = &map->mapping[i];

		if (hva - mapping->hva < mapping->length)
			return (s64)((hva - mapping->hva + mapping->file_offset) / PAGE_SIZE);
	}
	return -EFAULT;
}

int space_map_create(struct space *space)
{
	struct space_map *map = calloc(1, sizeof(*map));

	if (!map)
		return -ENOMEM;
	map->count = space->options.mappings;
	for (u32 i = 0; i < map->count; i++)
		map->mapping[i] = space->options.mapping[i];
	atomic_store(&space->map, map);
	return 0;
}

void space_map_destroy(struct space *space)
{
	struct space_map *map = atomic_load(&space->map);

	while (map) {
		struct space_map *before = map->before;

		free(map);
		map = before;
	}
}

/* A copy of the table, to be changed and published. NULL with *result. */
static struct space_map *copy_map(struct space *space, int *result)
{
	struct space_map *map = NULL;

	*result = -ENOSPC;
	if (space->map_changes < CHANGES_MAX) {
		*result = -ENOMEM;
		map = malloc(sizeof(*map));
	}
	if (!map)
		return NULL;
	*result = 0;
	*map = *map_of(space);
	map->before = atomic_load(&space->map);
	space->map_changes++;
	return map;
}

static void publish(struct space *space, struct space_map *map)
{
	atomic_store_explicit(&space->map, map, memory_order_release);
}

int space_plug(struct space *space, const struct space_mapping *mapping)
{
	const struct space_map *now = map_of(space);
	struct space_map *map;
	int result;

	if (mapping->length > space->options.bytes ||
	    mapping->file_offset > space->options.bytes - mapping->length)
		return -EINVAL;
	for (u32 i = 0; i < now->count; i++) {
		const struct space_mapping *other = &now->mapping[i];

		if (spans_overlap(mapping->hva, mapping->length, other->hva, other->length) ||
		    spans_overlap(mapping->file_offset, mapping->length, other->file_offset,
				  other->length))
			return -EEXIST;
	}
	if (space->options.stage &&
	    spans_overlap(mapping->hva, mapping->length, space->options.stage, REGION_SIZE))
		return -EEXIST;
	if (now->count == SPACE_MAX_MAPPINGS)
		return -ENOSPC;
	map = copy_map(space, &result);
	if (!map)
		return result;
	map->mapping[map->count++] = *mapping;
	publish(space, map);
	return 0;
}

/* Whether nothing of the part is anywhere, and nobody works on it. */
static bool is_empty(struct space *space, const struct space_mapping *mapping)
{
	u64 first = mapping->file_offset / PAGE_SIZE, end = first + mapping->length / PAGE_SIZE;
	bool empty = true;

	for (u64 index = first; index < end && empty; index += REGION_PAGES) {
		struct region *region = space_region(space, index);

		pthread_mutex_lock(&region->lock);
		empty = !region->resident && !region->held && region->mapping == REGION_ARMED;
		for (u64 i = index; i < index + REGION_PAGES && empty; i++) {
			struct page_word word = page_table_read(&space->table, i);

			empty = !page_word_busy(word) && !page_word_foreign(word) &&
				page_word_state(word) == PAGE_ZERO;
		}
		pthread_mutex_unlock(&region->lock);
	}
	return empty;
}

int space_unplug(struct space *space, const struct space_mapping *mapping)
{
	const struct space_map *now = map_of(space);
	struct space_map *map;
	int result;
	u32 i = 0;

	while (i < now->count && (now->mapping[i].hva != mapping->hva ||
				  now->mapping[i].file_offset != mapping->file_offset ||
				  now->mapping[i].length != mapping->length))
		i++;
	if (i == now->count)
		return -ENOENT;
	if (!is_empty(space, mapping))
		return -EBUSY;
	map = copy_map(space, &result);
	if (!map)
		return result;
	map->mapping[i] = map->mapping[--map->count];
	publish(space, map);
	return 0;
}
