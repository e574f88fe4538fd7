/* SPDX-License-Identifier: Apache-2.0 */
#include "ksm/frames.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ksm/frame_table.h"
#include "mem/memory.h"
#include "mem/source.h"

bool frames_test_skip_compare;

static void *reserve(u64 bytes)
{
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return area == MAP_FAILED ? NULL : area;
}

static u32 bucket_count(u64 capacity)
{
	u32 count = 1024;

	while (count < capacity && count < 1U << 31)
		count *= 2;
	return count;
}

/* The same file once more, for those who may not write it. */
static int reopen_read_only(int fd)
{
	char path[64];
	int result;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = open(path, O_RDONLY | O_CLOEXEC);
	return result < 0 ? -errno : result;
}

/* Of a file that has a policy all memory comes from there; to set it, it must be mapped. */
static int bind_file(const struct frames *frames, u64 bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, frames->fd, 0);

	if (pages == MAP_FAILED)
		return -errno;
	numa_tonode_memory(pages, bytes, (int)frames->options.node);
	munmap(pages, bytes);
	return 0;
}

static int open_file(struct frames *frames)
{
	u64 bytes = frames->options.capacity * PAGE_SIZE;

	frames->fd = memfd_create("ballast-frames", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (frames->fd < 0)
		return -errno;
	if (ftruncate(frames->fd, (off_t)bytes) ||
	    fcntl(frames->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	frames->read_only = reopen_read_only(frames->fd);
	if (frames->read_only < 0)
		return frames->read_only;
	return frames->options.bind ? bind_file(frames, bytes) : 0;
}

static int make_index(struct frames *frames)
{
	u32 count = bucket_count(frames->options.capacity);

	frames->bucket_mask = count - 1;
	frames->table = reserve(frames->options.capacity * sizeof(*frames->table));
	frames->buckets = malloc(count * sizeof(*frames->buckets));
	if (!frames->table || !frames->buckets)
		return -ENOMEM;
	memset(frames->buckets, 0xff, count * sizeof(*frames->buckets));
	return 0;
}

static void release(struct frames *frames)
{
	u64 capacity = frames->options.capacity;

	free(frames->buckets);
	if (frames->table)
		munmap(frames->table, capacity * sizeof(*frames->table));
	if (frames->read_only >= 0)
		close(frames->read_only);
	if (frames->fd >= 0)
		close(frames->fd);
	pthread_cond_destroy(&frames->came);
	pthread_mutex_destroy(&frames->lock);
	free(frames);
}

int frames_create(const struct frames_options *options, struct frames **out)
{
	struct frames *frames = calloc(1, sizeof(*frames));
	int result;

	if (!frames)
		return -ENOMEM;
	frames->options = *options;
	/* As many sheets as there is room for, and no part of one. */
	frames->options.capacity =
		MIN(options->capacity, ALIGN_DOWN((u64)FRAME_NONE, REGION_PAGES));
	frames->fd = frames->read_only = -1;
	pthread_mutex_init(&frames->lock, NULL);
	pthread_cond_init(&frames->came, NULL);
	result = open_file(frames);
	if (!result)
		result = make_index(frames);
	if (result) {
		release(frames);
		return result;
	}
	*out = frames;
	return 0;
}

void frames_destroy(struct frames *frames)
{
	assert(!frames->stats.references && !frames->stats.frames);
	release(frames);
}

int frames_fd(const struct frames *frames)
{
	return frames->read_only;
}

/* Lock held. */
static bool knows(struct frames *frames, u64 hash)
{
	for (u32 i = *frame_bucket(frames, hash); i != FRAME_NONE; i = frames->table[i].next) {
		if (frame_may_be_like(frames, &frames->table[i], hash))
			return true;
	}
	return false;
}

u32 frames_know(struct frames *frames, const u64 *hashes, u32 asked)
{
	u32 known = 0;

	pthread_mutex_lock(&frames->lock);
	for (u32 left = asked; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);

		known |= (u32)knows(frames, hashes[i]) << i;
	}
	pthread_mutex_unlock(&frames->lock);
	return known;
}

bool frames_copy(const struct frames *frames, u32 first, u32 count, void *buffer)
{
	u64 bytes = count * PAGE_SIZE;

	return pread(frames->fd, buffer, bytes, (off_t)(first * PAGE_SIZE)) == (ssize_t)bytes;
}

bool frame_refer(struct frames *frames, u32 index, const void *plain, const void *content)
{
	if (!frames_test_skip_compare && memcmp(content, plain, PAGE_SIZE)) {
		frames->stats.collisions++;
		return false;
	}
	frames->table[index].references++;
	frames->stats.references++;
	return true;
}

/* Whether the frame has these bytes; then it has a reference more. Lock held. */
static bool refer(struct frames *frames, u32 index, u64 hash, const void *plain)
{
	_Alignas(64) u8 content[PAGE_SIZE];

	return frame_may_be_like(frames, &frames->table[index], hash) &&
	       frames_copy(frames, index, 1, content) && frame_refer(frames, index, plain, content);
}

int frames_find(struct frames *frames, u64 hash, const void *plain, u32 *found)
{
	u32 i;

	pthread_mutex_lock(&frames->lock);
	for (i = *frame_bucket(frames, hash); i != FRAME_NONE && !refer(frames, i, hash, plain);)
		i = frames->table[i].next;
	pthread_mutex_unlock(&frames->lock);
	*found = i;
	return i == FRAME_NONE ? -ENOENT : 0;
}

/* The next free frame after the one that was handed out last. Lock held. */
static u32 find_free(struct frames *frames)
{
	u64 capacity = frames->options.capacity;

	if (frames->stats.frames >= capacity)
		return FRAME_NONE;
	while (!frame_is_free(&frames->table[frames->cursor]))
		frames->cursor = (u32)((frames->cursor + 1) % capacity);
	return frames->cursor;
}

void frame_link(struct frames *frames, u32 index)
{
	struct frame *frame = &frames->table[index];
	u32 *bucket = frame_bucket(frames, frame->hash);

	frame->next = *bucket;
	*bucket = index;
}

void frame_unlink(struct frames *frames, u32 index)
{
	u32 *link = frame_bucket(frames, frames->table[index].hash);

	while (*link != index)
		link = &frames->table[*link].next;
	*link = frames->table[index].next;
}

void frame_punch(struct frames *frames, u32 index, u32 count)
{
	fallocate(frames->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)((u64)index * PAGE_SIZE), (off_t)((u64)count * PAGE_SIZE));
}

static void punch_gone(struct frames *frames, struct frames_gone *gone)
{
	if (gone->count)
		frame_punch(frames, gone->first, gone->count);
	gone->count = 0;
}

static void add_gone(struct frames *frames, u32 index, struct frames_gone *gone)
{
	if (gone->first + gone->count != index)
		punch_gone(frames, gone);
	if (!gone->count)
		gone->first = index;
	gone->count++;
}

static void forget_blob(struct frames *frames, u64 place)
{
	struct page_source *pool = frames->options.memory->sources[PAGE_COMPRESSED];

	pthread_mutex_unlock(&frames->lock);
	pool->ops->invalidate(pool, place);
	pthread_mutex_lock(&frames->lock);
}

void frame_settle(struct frames *frames, u32 index, struct frames_gone *gone)
{
	struct frame *frame = &frames->table[index];

	if (!frame_is_free(frame))
		return;
	frames->stats.frames--;
	frames->stats.metadata_bytes -= FRAME_METADATA;
	gone->memory += FRAME_METADATA;
	if (frame->where == FRAME_STORED) {
		frames->stats.stored--;
		punch_gone(frames, gone);
		forget_blob(frames, frame->place);
		return;
	}
	assert(frame->where == FRAME_HERE);
	frame_unlink(frames, index);
	add_gone(frames, index, gone);
	gone->memory += PAGE_SIZE;
}

void frames_unlock(struct frames *frames, struct frames_gone *gone)
{
	punch_gone(frames, gone);
	pthread_mutex_unlock(&frames->lock);
	if (gone->memory)
		budget_give(&frames->options.memory->budget, gone->memory);
}

u32 frames_make(struct frames *frames, u32 first, u32 count, const void *plain, const u64 *hashes)
{
	/* Not through the mapping: that would clear the pages first, and take a fault for each. */
	ssize_t bytes = pwrite(frames->fd, plain, count * PAGE_SIZE, (off_t)(first * PAGE_SIZE));
	u32 made = bytes < 0 ? 0 : (u32)((u64)bytes / PAGE_SIZE);

	for (u32 i = 0; i < made; i++) {
		frames->table[first + i] =
			(struct frame){.hash = hashes[i], .references = 1, .where = FRAME_HERE};
		frame_link(frames, first + i);
	}
	frames->top = MAX(frames->top, first + made);
	frames->stats.frames += made;
	frames->stats.references += made;
	frames->stats.metadata_bytes += made * FRAME_METADATA;
	return made;
}

int frames_add(struct frames *frames, u64 hash, const void *plain, u32 *out)
{
	struct budget *budget = &frames->options.memory->budget;

	/* Its page is about to be given back, but not before it has been copied. */
	if (!budget_take(budget, FRAME_MEMORY, BUDGET_SHARE))
		return -ENOMEM;
	pthread_mutex_lock(&frames->lock);
	*out = find_free(frames);
	if (*out != FRAME_NONE && !frames_make(frames, *out, 1, plain, &hash))
		*out = FRAME_NONE;
	pthread_mutex_unlock(&frames->lock);
	if (*out != FRAME_NONE)
		return 0;
	budget_give(budget, FRAME_MEMORY);
	return -ENOSPC;
}

void frames_put(struct frames *frames, u32 first, u32 count)
{
	struct frames_gone gone = {0};

	pthread_mutex_lock(&frames->lock);
	for (u32 i = first; i < first + count; i++) {
		assert(frames->table[i].references);
		frames->stats.references--;
		frames->table[i].references--;
		frame_settle(frames, i, &gone);
	}
	frames_unlock(frames, &gone);
}

int frames_read(struct frames *frames, u32 frame, void *buffer)
{
	int result;

	frames_hold(frames, frame, 1);
	result = frames_bring(frames, frame, 1, true);
	if (!result && !frames_copy(frames, frame, 1, buffer))
		result = -EIO;
	frames_release(frames, frame, 1);
	return result;
}

u32 frames_references(struct frames *frames, u32 frame)
{
	u32 references;

	pthread_mutex_lock(&frames->lock);
	references = frames->table[frame].references;
	pthread_mutex_unlock(&frames->lock);
	return references;
}

void frames_set_max_sharing(struct frames *frames, u32 max_sharing)
{
	pthread_mutex_lock(&frames->lock);
	frames->options.max_sharing = max_sharing;
	pthread_mutex_unlock(&frames->lock);
}

void frames_stats(struct frames *frames, struct frames_stats *stats)
{
	pthread_mutex_lock(&frames->lock);
	*stats = frames->stats;
	pthread_mutex_unlock(&frames->lock);
}
