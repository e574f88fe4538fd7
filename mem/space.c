/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/space.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <numa.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "mem/plug.h"
#include "mem/relocate.h"
#include "mem/remap.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/uffd.h"

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_descriptors(const struct space_options *options)
{
	close_if_open(options->ram);
	close_if_open(options->uffd);
	close_if_open(options->pagemap);
	close_if_open(options->pidfd);
}

/*
 * The manager's own view of the RAM file, aligned so that huge pages fit. Huge pages come from here:
 * the file's mount gives them only to mappings that ask (huge=advise), so one touch decides whether a
 * region gets a huge page, and guests' own faults never do.
 */
static int map_alias(struct space *space)
{
	u64 bytes = space->options.bytes;
	u8 *reserved, *aligned;

	reserved = mmap(NULL, bytes + REGION_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return -errno;
	aligned = (u8 *)ALIGN_UP((uintptr_t)reserved, REGION_SIZE);
	if (aligned != reserved)
		munmap(reserved, aligned - reserved);
	munmap(aligned + bytes, reserved + REGION_SIZE - aligned);
	space->alias = mmap(aligned, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    space->options.ram, 0);
	if (space->alias == MAP_FAILED) {
		int error = -errno;

		munmap(aligned, bytes);
		return error;
	}
	madvise(space->alias, bytes, MADV_HUGEPAGE);
	if (space->options.bind)
		numa_tonode_memory(space->alias, bytes, (int)space->options.node);
	return 0;
}

static int create_regions(struct space *space)
{
	space->region_count = space->options.bytes / REGION_SIZE;
	space->regions = calloc(space->region_count, sizeof(*space->regions));
	if (!space->regions)
		return -ENOMEM;
	for (u64 i = 0; i < space->region_count; i++)
		pthread_mutex_init(&space->regions[i].lock, NULL);
	return 0;
}

static void destroy_regions(struct space *space)
{
	for (u64 i = 0; i < space->region_count; i++)
		pthread_mutex_destroy(&space->regions[i].lock);
	free(space->regions);
}

/* Lists the space; from here on evictors and stores can find it. */
static int publish(struct space *space)
{
	struct memory *memory = space->memory;
	int result = -ENOSPC;

	pthread_mutex_lock(&memory->slots_lock);
	for (u32 i = 0; i < MEMORY_MAX_SPACES && result; i++) {
		struct space_slot *slot = &memory->slots[i];

		if (slot->space)
			continue;
		space->id = i;
		slot->space = space;
		memory->slots_used = MAX(memory->slots_used, i + 1);
		atomic_store(&slot->references, SPACE_LIVE);
		result = 0;
	}
	pthread_mutex_unlock(&memory->slots_lock);
	return result;
}

int space_begin(struct memory *memory, const struct space_options *options, struct space **out)
{
	struct space *space = calloc(1, sizeof(*space));
	int result = -ENOMEM;

	if (!space)
		goto close;
	space->memory = memory;
	space->options = *options;
	atomic_init(&space->salt, options->salt);
	readahead_init(&space->readahead);
	entitlement_init(&space->entitlement);
	pthread_mutex_init(&space->hist_lock, NULL);
	pthread_mutex_init(&space->removes_lock, NULL);
	pressure_init(&space->pressure, options->threads);
	remap_init(space);
	space->serial = atomic_fetch_add(&memory->spaces_begun, 1) + 1;
	result = page_table_create(&space->table, options->bytes / PAGE_SIZE);
	if (result)
		goto free_space;
	result = create_regions(space);
	if (result)
		goto destroy_table;
	result = map_alias(space);
	if (result)
		goto destroy_regions;
	result = space_map_create(space);
	if (result)
		goto unmap_alias;
	result = publish(space);
	if (result)
		goto destroy_map;
	space->metadata_bytes = page_table_bytes(&space->table) + sizeof(*space) +
				space->region_count * sizeof(*space->regions);
	budget_charge(&memory->budget, space->metadata_bytes);
	pressure_add_threads(&memory->pressure, (s32)options->threads, clock_now_ns());
	*out = space;
	return 0;

destroy_map:
	space_map_destroy(space);
unmap_alias:
	munmap(space->alias, options->bytes);
destroy_regions:
	destroy_regions(space);
destroy_table:
	page_table_destroy(&space->table);
free_space:
	pressure_destroy(&space->pressure);
	remap_exit(space);
	pthread_mutex_destroy(&space->removes_lock);
	pthread_mutex_destroy(&space->hist_lock);
	free(space);
close:
	close_descriptors(options);
	log_error("guest %s: its memory of %lu MiB cannot be managed: %s", options->name,
		  options->bytes / MiB, strerror(-result));
	return result;
}

static void unpublish(struct space *space)
{
	struct memory *memory = space->memory;
	struct space_slot *slot = &memory->slots[space->id];

	atomic_fetch_and(&slot->references, ~SPACE_LIVE);
	pthread_mutex_lock(&memory->slots_lock);
	while (atomic_load(&slot->references))
		pthread_cond_wait(&memory->slots_changed, &memory->slots_lock);
	slot->space = NULL;
	pthread_mutex_unlock(&memory->slots_lock);
}

/* A page written in the place of a frame holds it. */
static void release_frame(struct space *space, struct page_word word)
{
	struct sharing *sharing = space->memory->sharing;

	if (page_word_state(word) == PAGE_RESIDENT)
		sharing->ops->release(sharing, page_word_payload(word), 1);
}

static void forget_stored_pages(struct space *space)
{
	struct sharing *sharing = space->memory->sharing;
	struct sharing_run run = {0};

	for (u64 i = 0; i < space->table.pages; i++) {
		struct page_word word = page_table_read(&space->table, i);
		struct page_source *source = space->memory->sources[page_word_state(word)];

		assert(!page_word_busy(word));
		/* Whatever the VMM has there, it mapped a frame. */
		if (page_word_foreign(word) && page_word_shares(word))
			release_frame(space, word);
		if (page_word_shares(word))
			sharing_forget_later(sharing, &run, page_word_payload(word));
		else if (source)
			source->ops->invalidate(source, page_word_payload(word));
	}
	sharing_forget_run(sharing, &run);
}

void space_end(struct space *space)
{
	struct memory *memory = space->memory;
	u64 resident, private, own, foreign;

	remap_end_reading(space);
	unpublish(space);
	foreign = atomic_load(&space->counters.foreign);
	private = atomic_load(&space->counters.private);
	own = atomic_load(&space->counters.own);
	forget_stored_pages(space);
	resident = page_table_count(&space->table, PAGE_RESIDENT);
	munmap(space->alias, space->options.bytes);
	close_descriptors(&space->options);
	atomic_fetch_sub(&memory->foreign_pages, foreign);
	atomic_fetch_sub(&memory->private_pages, private);
	atomic_fetch_sub(&memory->own_pages, own);
	budget_give(&memory->budget,
		    resident * PAGE_SIZE + space->metadata_bytes + space->remap.stray_bytes);
	destroy_regions(space);
	space_map_destroy(space);
	page_table_destroy(&space->table);
	pressure_add_threads(&memory->pressure, -(s32)space->options.threads, clock_now_ns());
	pressure_destroy(&space->pressure);
	remap_exit(space);
	pthread_mutex_destroy(&space->removes_lock);
	pthread_mutex_destroy(&space->hist_lock);
	free(space);
}

void space_put(struct space *space)
{
	struct memory *memory = space->memory;

	/* From here on the space may be gone; the table is not. */
	if (atomic_fetch_sub(&memory->slots[space->id].references, 1) != 1)
		return;
	pthread_mutex_lock(&memory->slots_lock);
	pthread_cond_broadcast(&memory->slots_changed);
	pthread_mutex_unlock(&memory->slots_lock);
}

void space_waits(struct space *space, s32 more)
{
	u64 now_ns = clock_now_ns();

	if (!more)
		return;
	pressure_wait(&space->pressure, more, now_ns);
	pressure_wait(&space->memory->pressure, more, now_ns);
}

/* On shared memory MADV_DONTNEED keeps the content but raises EVENT_REMOVE, like what drops it. */
bool space_can_zap(const struct space *space)
{
	return space->options.client->ops->zap && !space->options.removes;
}

bool space_is_sampled(const struct space *space)
{
	return space->options.pagemap >= 0 && space_can_zap(space);
}

int space_zap(struct space *space, const struct space_range *ranges, u32 count)
{
	struct space_client *client = space->options.client;
	int result;

	if (!space_can_zap(space))
		return -ENOTSUP;
	if (atomic_exchange(&space->zap_pending, true))
		return -EBUSY;
	result = client->ops->zap(client, ranges, count);
	if (result)
		atomic_store(&space->zap_pending, false);
	return result;
}

void space_zapped(struct space *space)
{
	atomic_fetch_add(&space->zaps, 1);
	atomic_store(&space->zap_pending, false);
}

void space_fail(struct space *space, const char *format, ...)
{
	char why[512];
	va_list args;

	if (atomic_exchange(&space->failed, true))
		return;
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	log_error("guest %s: %s", space->options.name, why);
	space->options.client->ops->failed(space->options.client, why);
}

/* How a store moves a page (relocate.h): the page is held, so the space cannot end. */

int relocate_begin(struct memory *memory, struct page_owner owner, struct page_word expected)
{
	struct space *space = memory_get_space(memory, owner.space);
	struct region *region;
	struct page_word word;
	int result = 0;

	if (!space)
		return -ESTALE;
	if (owner.index >= space->table.pages) {
		space_put(space);
		return -ESTALE;
	}
	region = space_region(space, owner.index);
	pthread_mutex_lock(&region->lock);
	word = page_table_read(&space->table, owner.index);
	if (!page_word_same(word, expected))
		result = -ESTALE;
	else if (page_word_busy(word))
		result = -EBUSY;
	else {
		page_hold(&space->table, owner.index);
		region->held++;
	}
	pthread_mutex_unlock(&region->lock);
	if (result)
		space_put(space);
	return result;
}

bool relocate_end(struct memory *memory, struct page_owner owner, struct page_word word)
{
	struct space *space = memory->slots[owner.space].space;
	struct region *region = space_region(space, owner.index);
	bool waited;

	pthread_mutex_lock(&region->lock);
	page_set(&space->table, owner.index, word);
	region->held--;
	waited = page_release(&space->table, owner.index);
	if (waited)
		uffd_wake(space->options.uffd, space_hva(space, owner.index), PAGE_SIZE);
	pthread_mutex_unlock(&region->lock);
	space_put(space);
	return waited;
}

struct page_word relocate_peek(struct memory *memory, struct page_owner owner)
{
	const struct space *space = memory->slots[owner.space].space;

	if (!space || owner.index >= space->table.pages)
		return page_word(PAGE_ZERO, 0);
	return page_table_read(&space->table, owner.index);
}

struct page_word relocate_look(struct memory *memory, struct page_owner owner)
{
	struct space *space = memory_get_space(memory, owner.space);
	struct page_word word = page_word(PAGE_ZERO, 0);

	if (!space)
		return word;
	word = relocate_peek(memory, owner);
	space_put(space);
	return word;
}

u32 relocate_salt(const struct memory *memory, struct page_owner owner)
{
	return memory->slots[owner.space].space->salt;
}

u64 space_stored_pages(const struct space *space)
{
	return page_table_count(&space->table, PAGE_SAME) +
	       page_table_count(&space->table, PAGE_COMPRESSED) +
	       page_table_count(&space->table, PAGE_DISK);
}

bool space_is_called(const struct space *space)
{
	struct pollfd uffd = {.fd = space->options.uffd, .events = POLLIN};

	return space->options.removes && poll(&uffd, 1, 0) > 0;
}
