/* SPDX-License-Identifier: Apache-2.0 */
/* Puts pool, swap file, sources and write-back together, and takes them apart in reverse. */
#include "swap/swap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "mem/memory.h"
#include "swap/cleaner.h"
#include "swap/compressed.h"
#include "swap/dedup.h"
#include "swap/disk.h"
#include "swap/reader.h"
#include "swap/shared.h"
#include "swap/swapfile.h"
#include "swap/writeback.h"
#include "swap/writer.h"
#include "swap/zpool.h"

#define MAX_BLOB_DEFAULT (PAGE_SIZE / 4 * 3)
/* Shared blobs: the table takes memory only as far as it is used. */
#define SHARED_MIN 4096UL
#define SHARED_MAX (1UL << 26)
/* Bytes of the pool for each hint: about as many hints as blobs. In a full pool one in ten is forgotten
 * for want of room; half as many again would take more memory than they save. */
#define HINT_EVERY (2 * KiB)

struct swap {
	struct swap_options options;
	struct zpool *pool;    /* NULL: none */
	struct swapfile *file; /* NULL: none, and nor are those below */
	struct writer *writer;
	struct reader *reader;
	struct cleaner cleaner;
	struct compressed compressed;
	struct disk disk;
	struct writeback writeback;
	struct dedup dedup; /* owners.shared NULL: none */
};

static struct mover_stores stores_of(const struct swap *swap)
{
	return (struct mover_stores){
		.owners = {swap->options.memory, swap->dedup.owners.shared},
		.writer = swap->writer,
		.file = swap->file,
		.pool = swap->pool,
	};
}

static int create_pool(struct swap *swap)
{
	const struct swap_options *options = &swap->options;
	int err;

	if (!options->pool_bytes)
		return 0;
	err = zpool_create(MAX(options->pool_bytes, options->pool_reserve), options->nodes,
			   &options->memory->budget, &swap->pool);
	if (err) {
		log_error("compressed pool: cannot reserve %.1f GiB of address space: %s",
			  (double)options->pool_bytes / (double)GiB, strerror(-err));
		return err;
	}
	zpool_set_limit(swap->pool, options->pool_bytes);
	swap->compressed.pool = swap->pool;
	swap->compressed.owners.memory = options->memory;
	swap->compressed.acceleration = options->acceleration;
	swap->compressed.max_blob_bytes = options->max_blob_bytes;
	compressed_init(&swap->compressed);
	return 0;
}

static int create_disk(struct swap *swap)
{
	swap->disk.file = swap->file;
	swap->disk.writer = swap->writer;
	swap->disk.reader = swap->reader;
	swap->disk.cleaner = &swap->cleaner;
	swap->disk.acceleration = swap->options.acceleration;
	swap->disk.max_blob_bytes = swap->options.max_blob_bytes;
	return disk_init(&swap->disk);
}

static int create_file(struct swap *swap)
{
	const struct swap_options *options = &swap->options;
	struct swapfile_options file = {
		.path = options->path,
		.bytes = options->file_bytes,
		.keep = options->keep,
		.inject = options->inject,
	};
	int err;

	if (!options->path || !options->path[0])
		return 0;
	err = swapfile_create(&file, &swap->file);
	if (err)
		return err;
	err = writer_create(swap->file, &options->memory->budget, &swap->writer);
	if (err)
		goto destroy_file;
	err = reader_create(swap->file, &options->memory->budget, &swap->reader);
	if (err)
		goto destroy_writer;
	swap->cleaner.stores = stores_of(swap);
	swap->cleaner.budget = &options->memory->budget;
	err = cleaner_init(&swap->cleaner);
	if (err)
		goto destroy_reader;
	err = create_disk(swap);
	if (err)
		goto exit_cleaner;
	return 0;

exit_cleaner:
	cleaner_exit(&swap->cleaner);
destroy_reader:
	reader_destroy(swap->reader);
destroy_writer:
	writer_destroy(swap->writer);
destroy_file:
	swapfile_destroy(swap->file);
	swap->file = NULL;
	return err;
}

/* As many entries as blobs could be stored, of the smaller sort. */
static u64 shared_max(const struct swap_options *options)
{
	u64 bytes = options->pool_bytes + (options->path ? options->file_bytes : 0);

	return MIN(MAX(bytes / 512, SHARED_MIN), SHARED_MAX);
}

/* After pool and file. */
static int create_dedup(struct swap *swap)
{
	struct shared_options options = {
		.pool = swap->pool,
		.file = swap->file,
		.budget = &swap->options.memory->budget,
		.max = shared_max(&swap->options),
	};
	struct dedup *dedup = &swap->dedup;
	int err;

	if (!swap->pool || !swap->options.share_before_swap)
		return 0;
	err = hints_create(swap->options.pool_bytes / HINT_EVERY, options.budget, &dedup->hints);
	if (err)
		return err;
	err = shared_create(&options, &dedup->owners.shared);
	if (err) {
		hints_destroy(dedup->hints);
		return err;
	}
	dedup->owners.memory = swap->options.memory;
	dedup->pool = swap->pool;
	swap->compressed.owners = dedup->owners;
	swap->compressed.dedup = dedup;
	swap->compressed.disk = swap_disk(swap);
	swap->cleaner.stores.owners = dedup->owners;
	return 0;
}

static void destroy_dedup(struct swap *swap)
{
	if (!swap->dedup.owners.shared)
		return;
	shared_destroy(swap->dedup.owners.shared);
	hints_destroy(swap->dedup.hints);
}

static void destroy_file(struct swap *swap)
{
	if (!swap->file)
		return;
	disk_exit(&swap->disk);
	cleaner_exit(&swap->cleaner);
	reader_destroy(swap->reader);
	writer_destroy(swap->writer);
	swapfile_destroy(swap->file);
}

static void set_options(struct swap *swap, const struct swap_options *options)
{
	swap->options = *options;
	if (!swap->options.acceleration)
		swap->options.acceleration = 1;
	if (!swap->options.accept_percent)
		swap->options.accept_percent = 100;
	if (!swap->options.max_blob_bytes)
		swap->options.max_blob_bytes = MAX_BLOB_DEFAULT;
	swap->options.max_blob_bytes = MIN(swap->options.max_blob_bytes, ZPOOL_MAX_BLOB);
}

int swap_create(const struct swap_options *options, struct swap **result)
{
	struct swap *swap = calloc(1, sizeof(*swap));
	int err;

	if (!swap)
		return -ENOMEM;
	set_options(swap, options);
	err = create_pool(swap);
	if (err)
		goto free_swap;
	err = create_file(swap);
	if (err)
		goto destroy_pool;
	err = create_dedup(swap);
	if (err)
		goto destroy_file;
	swap->writeback.stores = stores_of(swap);
	swap->writeback.stores.left_pool = &swap->writeback.pages;
	swap->writeback.cleaner = &swap->cleaner;
	writeback_init(&swap->writeback);
	swap->compressed.file = swap->file;
	if (swap->pool && swap->file)
		swap_set_accept(swap, swap->options.accept_percent);
	*result = swap;
	return 0;

destroy_file:
	log_error("the index of stored content cannot be made: %s", strerror(-err));
	destroy_file(swap);
destroy_pool:
	if (swap->pool)
		zpool_destroy(swap->pool);
free_swap:
	free(swap);
	return err;
}

void swap_destroy(struct swap *swap)
{
	destroy_dedup(swap);
	destroy_file(swap);
	if (swap->pool)
		zpool_destroy(swap->pool);
	free(swap);
}

struct page_source *swap_compressed(struct swap *swap)
{
	return swap->pool ? &swap->compressed.source : NULL;
}

struct page_source *swap_disk(struct swap *swap)
{
	return swap->file ? &swap->disk.source : NULL;
}

struct reclaimer *swap_writeback(struct swap *swap)
{
	return swap->pool ? &swap->writeback.reclaimer : NULL;
}

u64 swap_set_pool_limit(struct swap *swap, u64 bytes)
{
	return swap->pool ? zpool_set_limit(swap->pool, bytes) : 0;
}

void swap_set_acceleration(struct swap *swap, u32 acceleration)
{
	atomic_store(&swap->compressed.acceleration, acceleration);
	atomic_store(&swap->disk.acceleration, acceleration);
}

void swap_set_max_blob_bytes(struct swap *swap, u32 bytes)
{
	bytes = MIN(bytes, (u32)ZPOOL_MAX_BLOB);
	atomic_store(&swap->compressed.max_blob_bytes, bytes);
	atomic_store(&swap->disk.max_blob_bytes, bytes);
}

int swap_set_pool_accepts(struct swap *swap, bool accepts)
{
	if (!swap_compressed(swap) || (!accepts && !swap_disk(swap)))
		return -ENOTSUP;
	atomic_store(&swap->compressed.closed, !accepts);
	return 0;
}

int swap_set_accept(struct swap *swap, u32 percent)
{
	if (percent < 100 && (!swap->pool || !swap->file))
		return -ENOTSUP;
	if (swap->pool)
		zpool_set_accept(swap->pool, percent);
	return 0;
}

int swap_set_io_depth(struct swap *swap, u32 depth)
{
	if (!swap->file)
		return -ENOTSUP;
	reader_set_depth(swap->reader, depth);
	return 0;
}

int swap_set_share(struct swap *swap, bool share)
{
	if (!swap->compressed.dedup)
		return share ? -ENOTSUP : 0;
	atomic_store(&swap->compressed.alone, !share);
	return 0;
}

static void pool_stats(struct swap *swap, struct swap_stats *stats)
{
	struct zpool_stats pool;

	zpool_stats(swap->pool, &pool);
	stats->pool_pages = pool.blobs;
	stats->pool_bytes = pool.used_bytes;
	stats->pool_blob_bytes = pool.blob_bytes;
	stats->pool_limit_bytes = pool.limit_bytes;
	stats->pool_reserved_bytes = swap->pool->limit.reserved * SLAB_BYTES;
	stats->pool_limit_hit = pool.limit_hit;
	stats->accept_percent = pool.accept_percent;
	stats->reject_recovering = atomic_load(&swap->compressed.recovering);
	stats->stored_pages += atomic_load(&swap->compressed.stored);
	stats->compressed_in_bytes = atomic_load(&swap->compressed.stored) * PAGE_SIZE;
	stats->compressed_out_bytes = atomic_load(&swap->compressed.out_bytes);
	stats->reject_compress_poor = atomic_load(&swap->compressed.poor);
}

static void dedup_stats(struct swap *swap, struct swap_stats *stats)
{
	struct shared_stats shared;

	shared_stats(swap->dedup.owners.shared, &shared);
	stats->dedup_hits = atomic_load(&swap->dedup.hits);
	stats->hash_collisions = atomic_load(&swap->dedup.collisions);
	stats->stored_pages += stats->dedup_hits;
	stats->shared_blobs = shared.blobs;
	stats->shared_pages = shared.pages;
	stats->shared_disk_pages = shared.disk_pages;
	stats->shared_saved_bytes = shared.saved_bytes;
	stats->shared_peak_saved_bytes = shared.peak_saved_bytes;
	stats->dedup_bytes = shared.bytes + hints_bytes(swap->dedup.hints);
}

static void file_stats(struct swap *swap, struct swap_stats *stats)
{
	struct swapfile_stats file;

	swapfile_stats(swap->file, &file);
	stats->stored_pages += atomic_load(&swap->disk.stored);
	stats->disk_pages = file.blobs;
	stats->disk_bytes = file.used_bytes;
	stats->disk_blob_bytes = file.blob_bytes;
	stats->disk_limit_bytes = file.limit_bytes;
	stats->written_bytes = file.written_bytes;
	stats->read_bytes = file.read_bytes;
	stats->io_errors = file.io_errors;
	stats->swap_full = file.full;
	stats->cleaned_extents = atomic_load(&swap->cleaner.extents);
}

void swap_stats(struct swap *swap, struct swap_stats *stats)
{
	*stats = (struct swap_stats){
		.acceleration = swap->pool ? atomic_load(&swap->compressed.acceleration)
					   : atomic_load(&swap->disk.acceleration),
		.max_blob_bytes = swap->pool ? atomic_load(&swap->compressed.max_blob_bytes)
					     : atomic_load(&swap->disk.max_blob_bytes),
		.accept_percent = 100,
		.written_back_pages = atomic_load(&swap->writeback.pages),
		.pool_accepts = swap->pool && !atomic_load(&swap->compressed.closed),
		.io_depth = swap->file ? reader_depth(swap->reader) : 0,
		.share = swap->compressed.dedup && !atomic_load(&swap->compressed.alone),
	};
	if (swap->pool)
		pool_stats(swap, stats);
	if (swap->file)
		file_stats(swap, stats);
	if (swap->dedup.owners.shared)
		dedup_stats(swap, stats);
}

u64 swap_node_bytes(struct swap *swap, u32 node)
{
	return swap->pool ? zpool_node_bytes(swap->pool, node) : 0;
}
