/* SPDX-License-Identifier: Apache-2.0 */
/* The page source over swap file, writer and reader. */
#include "swap/disk.h"

#include <errno.h>

#include "swap/cleaner.h"
#include "swap/reader.h"
#include "swap/swapfile.h"
#include "swap/writer.h"

static struct disk *to_disk(struct page_source *source)
{
	return container_of(source, struct disk, source);
}

/* The number itself is kept where a pointer would be: nothing to allocate, nothing to free. */
static u64 first_segment(struct disk *disk)
{
	return (u64)(uintptr_t)pthread_getspecific(disk->first);
}

static int set_first_segment(struct disk *disk, u64 number)
{
	return -pthread_setspecific(disk->first, (void *)(uintptr_t)number);
}

static int append(struct disk *disk, const struct encoded *blob, u64 *place, u64 *number)
{
	int err = writer_append(disk->writer, blob, false, place, number);

	if (err == -ENOSPC && cleaner_run(disk->cleaner))
		err = writer_append(disk->writer, blob, false, place, number);
	return err;
}

/* Remembers, until the flush, from which segment on this thread's pages may be lost. */
static int note_segment(struct disk *disk, u64 number)
{
	return first_segment(disk) ? 0 : set_first_segment(disk, number);
}

static int disk_store(struct page_source *source, struct page_store *page)
{
	struct disk *disk = to_disk(source);
	struct encoded blob;
	u64 number;
	int err;

	/* Only an entry can stand for a page here, and those are made of blobs in the pool. */
	if (page->unowned)
		return -E2BIG;
	blob_encode(&page->owner, page->plain, disk->acceleration, disk->max_blob_bytes, &blob);
	err = append(disk, &blob, &page->payload, &number);
	if (err)
		return err;
	err = note_segment(disk, number);
	if (err) {
		swapfile_release(disk->file, page->payload);
		return err;
	}
	atomic_fetch_add_explicit(&disk->stored, 1, memory_order_relaxed);
	return 0;
}

static int disk_flush(struct page_source *source)
{
	struct disk *disk = to_disk(source);
	u64 first = first_segment(disk);

	if (!first)
		return 0;
	set_first_segment(disk, 0);
	return writer_wait(disk->writer, first, writer_last_segment(disk->writer));
}

static int disk_load(struct page_source *source, struct page_load *load)
{
	return reader_load(to_disk(source)->reader, load);
}

static void disk_invalidate(struct page_source *source, u64 payload)
{
	swapfile_release(to_disk(source)->file, payload);
}

static void disk_stats(struct page_source *source, struct source_stats *stats)
{
	struct swapfile_stats file;

	swapfile_stats(to_disk(source)->file, &file);
	*stats = (struct source_stats){
		.pages = file.blobs,
		.blob_bytes = file.blob_bytes,
		.used_bytes = file.used_bytes,
		.stalled_ns = file.stalled_ns,
	};
}

static const struct page_source_ops disk_ops = {
	.name = "disk",
	.state = PAGE_DISK,
	.store = disk_store,
	.flush = disk_flush,
	.load = disk_load,
	.invalidate = disk_invalidate,
	.stats = disk_stats,
};

int disk_init(struct disk *disk)
{
	disk->source.ops = &disk_ops;
	return -pthread_key_create(&disk->first, NULL);
}

void disk_exit(struct disk *disk)
{
	pthread_key_delete(disk->first);
}
