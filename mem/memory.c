/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/memory.h"

#include <assert.h>
#include <stdlib.h>

#include "mem/fill.h"
#include "mem/guard.h"
#include "mem/readahead.h"
#include "mem/space.h"
#include "mem/trace.h"

void memory_init(struct memory *memory, u64 budget_bytes)
{
	*memory = (struct memory){.huge_pages = true, .readahead_pages = READAHEAD_MAX_PAGES};
	guard_install();
	budget_init(&memory->budget, budget_bytes);
	pressure_init(&memory->pressure, 0);
	pthread_mutex_init(&memory->fills_lock, NULL);
	pthread_mutex_init(&memory->slots_lock, NULL);
	pthread_mutex_init(&memory->sought_lock, NULL);
	pthread_mutex_init(&memory->split_lock, NULL);
	pthread_cond_init(&memory->slots_changed, NULL);
}

void memory_destroy(struct memory *memory)
{
	for (u32 i = 0; i < MEMORY_MAX_SPACES; i++)
		assert(!memory->slots[i].references);
	fill_drain(memory);
	free(atomic_load(&memory->trace));
	free(memory->split_buffer);
	pressure_destroy(&memory->pressure);
	pthread_mutex_destroy(&memory->fills_lock);
	pthread_cond_destroy(&memory->slots_changed);
	pthread_mutex_destroy(&memory->sought_lock);
	pthread_mutex_destroy(&memory->split_lock);
	pthread_mutex_destroy(&memory->slots_lock);
}

struct space *memory_get_space(struct memory *memory, u32 id)
{
	struct space_slot *slot;
	u64 references;

	if (id >= MEMORY_MAX_SPACES)
		return NULL;
	slot = &memory->slots[id];
	references = atomic_load(&slot->references);
	do {
		if (!(references & SPACE_LIVE))
			return NULL;
	} while (!atomic_compare_exchange_weak(&slot->references, &references, references + 1));
	return slot->space;
}

static u64 resident_pages(const struct space *space)
{
	return page_table_count(&space->table, PAGE_RESIDENT);
}

static u64 metadata_bytes(const struct space *space)
{
	return space->metadata_bytes;
}

static u64 sum_spaces(struct memory *memory, u64 (*figure)(const struct space *))
{
	u32 used = atomic_load(&memory->slots_used);
	u64 sum = 0;

	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);

		if (!space)
			continue;
		sum += figure(space);
		space_put(space);
	}
	return sum;
}

u64 memory_resident_pages(struct memory *memory)
{
	return sum_spaces(memory, resident_pages);
}

u64 memory_stored_pages(struct memory *memory)
{
	return sum_spaces(memory, space_stored_pages);
}

u64 memory_metadata_bytes(struct memory *memory)
{
	return sum_spaces(memory, metadata_bytes);
}
