/* SPDX-License-Identifier: Apache-2.0 */
/* The swap file: which extents are free, how much is alive in each. */
#include "swap/swapfile.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "swap/openfile.h"

#define OFFSET_BITS 38
#define SIZE_BITS   12

struct extent {
	u32 alive; /* bytes of blobs whose pages live here, headers included */
	u32 pins;
};

struct swapfile {
	struct swapfile_options options;
	char *path;
	int fd;
	u32 count;  /* extents; the first holds only the file's label */
	u32 free;   /* of them */
	u32 cursor; /* where the search for a free one starts */
	u64 alive;  /* bytes, all extents */
	struct extent *extents;
	u64 *free_map;
	u64 blobs, blob_bytes;
	u64 full, full_logged_ns;
	pthread_mutex_t lock; /* all of the above that changes; innermost */
	_Atomic u64 written_bytes, read_bytes, io_errors;
	_Atomic u32 writing;	    /* writes under way */
	_Atomic u64 write_moved_ns; /* when the first of them began or one ended last */
};

u64 place_offset(u64 place)
{
	return (place & ((1ULL << OFFSET_BITS) - 1)) * SWAP_UNIT;
}

u32 place_size(u64 place)
{
	u32 size = (u32)(place >> OFFSET_BITS) & ((1U << SIZE_BITS) - 1);

	return size ? size : PAGE_SIZE;
}

u64 place_make(u64 offset, const struct blob *blob)
{
	u64 size = blob->size & ((1U << SIZE_BITS) - 1);
	u64 tag = blob->hash & 3;

	return tag << (OFFSET_BITS + SIZE_BITS) | size << OFFSET_BITS | offset / SWAP_UNIT;
}

bool place_matches(u64 place, const struct blob *blob)
{
	return place == place_make(place_offset(place), blob);
}

/* What a blob takes in its extent. */
static u32 place_footprint(u64 place)
{
	return (u32)ALIGN_UP(sizeof(struct blob) + place_size(place), SWAP_UNIT);
}

static void set_free(struct swapfile *file, u32 extent, bool is_free)
{
	u64 bit = 1ULL << (extent % 64);

	if (is_free)
		file->free_map[extent / 64] |= bit;
	else
		file->free_map[extent / 64] &= ~bit;
	file->free += is_free ? 1 : -1U;
}

/* With the lock held, when `alive` or `pins` has fallen. */
static void free_if_unused(struct swapfile *file, u32 extent)
{
	if (!file->extents[extent].alive && !file->extents[extent].pins)
		set_free(file, extent, true);
}

static int allocate_maps(struct swapfile *file)
{
	file->extents = calloc(file->count, sizeof(*file->extents));
	file->free_map = calloc((file->count + 63) / 64, sizeof(*file->free_map));
	if (!file->extents || !file->free_map)
		return -ENOMEM;
	for (u32 extent = 1; extent < file->count; extent++)
		set_free(file, extent, true);
	file->extents[0].pins = 1;
	file->cursor = 1;
	return 0;
}

int swapfile_create(const struct swapfile_options *options, struct swapfile **result)
{
	struct swapfile *file = calloc(1, sizeof(*file));
	int err = -ENOMEM;

	if (!file)
		return -ENOMEM;
	file->options = *options;
	file->count = (u32)(MIN(options->bytes, SWAP_MAX_BYTES) / EXTENT_BYTES);
	file->path = strdup(options->path);
	if (!file->path)
		goto free_file;
	if (file->count < 2 * EXTENTS_RESERVE) {
		err = -EINVAL;
		log_error("swap file %s: %llu bytes are too few: set swap-size to %lu MiB or more",
			  options->path, (unsigned long long)options->bytes,
			  2 * EXTENTS_RESERVE * EXTENT_BYTES / MiB);
		goto free_path;
	}
	err = allocate_maps(file);
	if (err)
		goto free_maps;
	file->fd = openfile_open(options->path, (u64)file->count * EXTENT_BYTES, options->keep);
	if (file->fd < 0) {
		err = file->fd;
		goto free_maps;
	}
	pthread_mutex_init(&file->lock, NULL);
	*result = file;
	return 0;

free_maps:
	free(file->free_map);
	free(file->extents);
free_path:
	free(file->path);
free_file:
	free(file);
	return err;
}

void swapfile_destroy(struct swapfile *file)
{
	close(file->fd);
	pthread_mutex_destroy(&file->lock);
	free(file->free_map);
	free(file->extents);
	free(file->path);
	free(file);
}

int swapfile_fd(const struct swapfile *file)
{
	return file->fd;
}

static void report_full(struct swapfile *file)
{
	u64 now = clock_now_ns();

	file->full++;
	if (file->full_logged_ns && now - file->full_logged_ns < 10 * NSEC_PER_SEC)
		return;
	file->full_logged_ns = now;
	log_warn("swap file %s full (%.1f GiB, %.1f GiB of it alive): "
		 "grow swap-size, or run fewer or smaller guests",
		 file->path, (double)file->count * EXTENT_BYTES / (double)GiB,
		 (double)file->alive / (double)GiB);
}

/* The first free extent at or after the cursor, round the end. There is one. */
static u32 next_free(const struct swapfile *file)
{
	u32 words = (file->count + 63) / 64, word = file->cursor / 64;
	u64 bits = file->free_map[word] & ~0ULL << (file->cursor % 64);

	while (!bits) {
		word = (word + 1) % words;
		bits = file->free_map[word];
	}
	return word * 64 + (u32)__builtin_ctzll(bits);
}

int swapfile_take(struct swapfile *file, bool from_reserve, u32 *extent)
{
	int err = -ENOSPC;

	pthread_mutex_lock(&file->lock);
	if (file->free > (from_reserve ? 0 : EXTENTS_RESERVE)) {
		*extent = next_free(file);
		set_free(file, *extent, false);
		file->extents[*extent].pins = 1;
		file->cursor = (*extent + 1) % file->count;
		err = 0;
	} else {
		report_full(file);
	}
	pthread_mutex_unlock(&file->lock);
	return err;
}

void swapfile_pin(struct swapfile *file, u32 extent)
{
	pthread_mutex_lock(&file->lock);
	file->extents[extent].pins++;
	pthread_mutex_unlock(&file->lock);
}

void swapfile_unpin(struct swapfile *file, u32 extent)
{
	pthread_mutex_lock(&file->lock);
	assert(file->extents[extent].pins);
	file->extents[extent].pins--;
	free_if_unused(file, extent);
	pthread_mutex_unlock(&file->lock);
}

u64 swapfile_hold(struct swapfile *file, u64 offset, const struct blob *blob)
{
	u64 place = place_make(offset, blob);

	pthread_mutex_lock(&file->lock);
	file->extents[offset / EXTENT_BYTES].alive += place_footprint(place);
	file->alive += place_footprint(place);
	file->blobs++;
	file->blob_bytes += blob->size;
	pthread_mutex_unlock(&file->lock);
	return place;
}

void swapfile_release(struct swapfile *file, u64 place)
{
	u32 extent = (u32)(place_offset(place) / EXTENT_BYTES);

	pthread_mutex_lock(&file->lock);
	assert(file->extents[extent].alive >= place_footprint(place));
	file->extents[extent].alive -= place_footprint(place);
	file->alive -= place_footprint(place);
	file->blobs--;
	file->blob_bytes -= place_size(place);
	free_if_unused(file, extent);
	pthread_mutex_unlock(&file->lock);
}

bool swapfile_fragmented(struct swapfile *file)
{
	bool fragmented;

	pthread_mutex_lock(&file->lock);
	fragmented = file->free < MAX(file->count / 16, 3 * EXTENTS_RESERVE) &&
		     file->alive < (u64)(file->count - file->free) * EXTENT_BYTES / 8 * 7;
	pthread_mutex_unlock(&file->lock);
	return fragmented;
}

int swapfile_sparsest(struct swapfile *file, u32 *extent)
{
	u32 best = 0, best_alive = EXTENT_BYTES / 4 * 3 + 1;

	pthread_mutex_lock(&file->lock);
	for (u32 i = 1; i < file->count; i++) {
		const struct extent *at = &file->extents[i];

		if (at->alive && !at->pins && at->alive < best_alive) {
			best = i;
			best_alive = at->alive;
		}
	}
	if (best)
		file->extents[best].pins++;
	pthread_mutex_unlock(&file->lock);
	*extent = best;
	return best ? 0 : -ENOENT;
}

int swapfile_read_extent(struct swapfile *file, u32 extent, u8 *buffer)
{
	u64 offset = (u64)extent * EXTENT_BYTES;
	ssize_t got;

	swapfile_io_begin(file, SWAP_IO_READ, offset, buffer, EXTENT_BYTES);
	got = pread(file->fd, buffer, EXTENT_BYTES, (off_t)offset);
	got = swapfile_io_end(file, SWAP_IO_READ, offset, buffer, EXTENT_BYTES,
			      got < 0 ? -errno : (s32)got);
	if (got < 0)
		return (int)got;
	/* A sparse file may end within its last extent. */
	memset(buffer + got, 0, EXTENT_BYTES - (u64)got);
	return 0;
}

u64 swapfile_free_bytes(struct swapfile *file)
{
	u64 extents;

	pthread_mutex_lock(&file->lock);
	extents = file->free > EXTENTS_RESERVE ? file->free - EXTENTS_RESERVE : 0;
	pthread_mutex_unlock(&file->lock);
	return extents * EXTENT_BYTES;
}

void swapfile_io_begin(struct swapfile *file, enum swap_io op, u64 offset, void *buffer, u32 length)
{
	struct swap_inject *inject = file->options.inject;

	if (inject && inject->before)
		inject->before(inject, op, offset, buffer, length);
	if (op == SWAP_IO_WRITE && !atomic_fetch_add(&file->writing, 1))
		atomic_store(&file->write_moved_ns, clock_now_ns());
}

s32 swapfile_io_end(struct swapfile *file, enum swap_io op, u64 offset, void *buffer, u32 length,
		    s32 result)
{
	struct swap_inject *inject = file->options.inject;

	if (inject && inject->after)
		result = inject->after(inject, op, offset, buffer, length, result);
	if (result > 0)
		atomic_fetch_add(op == SWAP_IO_WRITE ? &file->written_bytes : &file->read_bytes,
				 (u64)result);
	if (result != (s32)length)
		atomic_fetch_add(&file->io_errors, 1);
	if (op == SWAP_IO_WRITE) {
		atomic_store(&file->write_moved_ns, clock_now_ns());
		atomic_fetch_sub(&file->writing, 1);
	}
	return result;
}

static u64 stalled_ns(const struct swapfile *file)
{
	u64 moved = atomic_load(&file->write_moved_ns), now = clock_now_ns();

	return atomic_load(&file->writing) && now > moved ? now - moved : 0;
}

void swapfile_stats(struct swapfile *file, struct swapfile_stats *stats)
{
	pthread_mutex_lock(&file->lock);
	*stats = (struct swapfile_stats){
		.blobs = file->blobs,
		.blob_bytes = file->blob_bytes,
		.used_bytes = (u64)(file->count - file->free - 1) * EXTENT_BYTES,
		.limit_bytes = (u64)file->count * EXTENT_BYTES,
		.written_bytes = atomic_load(&file->written_bytes),
		.read_bytes = atomic_load(&file->read_bytes),
		.io_errors = atomic_load(&file->io_errors),
		.full = file->full,
		.stalled_ns = stalled_ns(file),
	};
	pthread_mutex_unlock(&file->lock);
}
