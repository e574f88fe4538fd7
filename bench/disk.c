/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The swap file against a raw file beside it, same sizes, same depth: write-back of a full pool in
 * extents, reads of single pages at random, reads of groups of neighbours. Writing to space that is
 * reserved but was never written costs the filesystem half as much again, so what is new is compared
 * with what is new, and what is written over with what is written over.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/cases.h"
#include "bench/content.h"
#include "bench/order.h"
#include "bench/raw.h"
#include "bench/rig.h"
#include "lib/clock.h"
#include "mem/source.h"
#include "mem/reclaimer.h"
#include "swap/swap.h"

#define GUEST_BYTES (256 * MiB)
#define DISK_BYTES  (192 * MiB) /* swap file and raw file: half as much again as is written */
#define READ_SPAN   (128 * MiB) /* of the raw file: what was written */
#define SCAN_BYTES  (16 * MiB)
#define WRITE_BYTES (256 * KiB) /* an extent of the swap file */
#define WRITE_DEPTH 4U		/* extents under way at once */
#define READ_BYTES  8192U	/* a blob of a page lies in one or two blocks */
#define READ_DEPTH  32U
#define READS	    8192U
#define GROUP_BYTES (40 * KiB) /* sixteen blobs */

/* Empties the pool into the swap file. Returns MiB/s, and the bytes written. */
static double write_pool(struct rig *rig, u64 *bytes)
{
	struct reclaimer *writeback = swap_writeback(rig->swap);
	struct swap_stats before, after;
	u64 began;

	swap_stats(rig->swap, &before);
	began = clock_now_ns();
	do {
		if (writeback->ops->scan(writeback, SCAN_BYTES) <= 0)
			break;
		swap_stats(rig->swap, &after);
	} while (after.pool_pages > before.pool_pages / 16);
	swap_stats(rig->swap, &after);
	*bytes = after.written_bytes - before.written_bytes;
	return (double)*bytes / ((double)(clock_now_ns() - began) / 1e9) / MiB;
}

static int measure_write(struct bench *bench, struct rig *rig, struct raw *raw, const char *name)
{
	struct raw_job job = {
		.write = true, .bytes = WRITE_BYTES, .depth = WRITE_DEPTH, .span = DISK_BYTES};
	struct raw_result result;
	double ours, theirs;
	u64 bytes, cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID), raw_cpu;
	int err;

	ours = write_pool(rig, &bytes);
	cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	if (!bytes)
		return bench_fail(bench, -EIO, "nothing was written back");
	job.count = (u32)(bytes / WRITE_BYTES);
	raw_cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	err = raw_run(raw, &job, &result);
	raw_cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - raw_cpu;
	if (err)
		return err;
	theirs = (double)job.count * WRITE_BYTES / result.seconds / MiB;
	bench_put(bench, ours, -1, "MiB/s", "disk.%s", name);
	bench_put(bench, theirs, -1, "MiB/s", "disk.%s.raw", name);
	bench_put(bench, ours / theirs, -1, "x", "disk.%s.ratio", name);
	bench_put(bench, (double)cpu / 1e3 / ((double)bytes / MiB), -1, "us/MiB", "disk.%s.cpu",
		  name);
	bench_put(bench, (double)raw_cpu / 1e3 / ((double)bytes / MiB), -1, "us/MiB",
		  "disk.%s.raw.cpu", name);
	return 0;
}

/* Everything from the disk to the guest, and from there to the pool. */
static void refill_pool(struct rig *rig)
{
	static struct order order;

	order_make(&order, REGION_PAGES, (u32)rig->pages, 0, ORDER_MAX, 0);
	order_touch(&order, rig->ram.base);
	rig_evict(rig, 1, rig->space->region_count, UINT32_MAX);
}

/* Extents are handed out round and round: the third time all of them have been written to before. */
static int measure_writes(struct bench *bench, struct rig *rig, struct raw *raw)
{
	int err = measure_write(bench, rig, raw, "write.fresh");
	u64 bytes;

	if (err)
		return err;
	refill_pool(rig);
	write_pool(rig, &bytes);
	refill_pool(rig);
	return measure_write(bench, rig, raw, "write");
}

/* A load of `count` pages, and the semaphore that counts its kind in flight. */
struct reader {
	struct page_load load;
	struct page_load_slot slots[GROUP_PAGES];
	sem_t *room;
	_Atomic bool busy;
	u8 buffers[GROUP_PAGES][PAGE_SIZE];
};

static void reader_done(struct page_load *load)
{
	struct reader *reader = container_of(load, struct reader, load);

	reader->busy = false;
	sem_post(reader->room);
}

static struct reader *idle_reader(struct reader *readers)
{
	for (u32 i = 0;; i = (i + 1) % READ_DEPTH)
		if (!readers[i].busy)
			return &readers[i];
}

static u32 take_slots(struct reader *reader, struct rig *rig, u64 first, u32 count)
{
	reader->load = (struct page_load){.slots = reader->slots, .done = reader_done};
	for (u64 i = first; i < first + count; i++) {
		struct page_word word = page_table_read(&rig->space->table, i);

		if (page_word_state(word) == PAGE_DISK)
			reader->slots[reader->load.count++] = (struct page_load_slot){
				.payload = page_word_payload(word),
				.buffer = reader->buffers[i - first],
			};
	}
	return reader->load.count;
}

/* Loads groups of `count` pages, READ_DEPTH at once, at random. Returns loads a second. */
static double read_all(struct rig *rig, struct reader *readers, u32 count, u32 loads)
{
	struct page_source *disk = swap_disk(rig->swap);
	u64 seed = 11, began = clock_now_ns();
	sem_t room;

	sem_init(&room, 0, READ_DEPTH);
	for (u32 i = 0; i < loads; i++) {
		struct reader *reader;
		u64 page;

		sem_wait(&room);
		reader = idle_reader(readers);
		reader->room = &room;
		do {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			page = REGION_PAGES +
			       ALIGN_DOWN((seed >> 33) % (rig->pages - REGION_PAGES), count);
		} while (!take_slots(reader, rig, page, count));
		reader->busy = true;
		if (disk->ops->load(disk, &reader->load) != -EINPROGRESS)
			reader_done(&reader->load);
	}
	for (u32 i = 0; i < READ_DEPTH; i++)
		sem_wait(&room);
	sem_destroy(&room);
	return loads / ((double)(clock_now_ns() - began) / 1e9);
}

static int measure_read(struct bench *bench, struct rig *rig, struct raw *raw, u32 pages,
			const char *name)
{
	struct raw_job job = {.random = true,
			      .bytes = pages == 1 ? READ_BYTES : GROUP_BYTES,
			      .depth = READ_DEPTH,
			      .count = pages == 1 ? READS : READS / 4,
			      .span = READ_SPAN};
	struct reader *readers = calloc(READ_DEPTH, sizeof(*readers));
	struct raw_result result;
	double ours, theirs;
	int err;

	if (!readers)
		return -ENOMEM;
	ours = read_all(rig, readers, pages, job.count);
	err = raw_run(raw, &job, &result);
	free(readers);
	if (err)
		return err;
	theirs = job.count / result.seconds;
	bench_put(bench, ours, -1, "loads/s", "disk.read.%s", name);
	bench_put(bench, theirs, -1, "loads/s", "disk.read.%s.raw", name);
	bench_put(bench, ours / theirs, -1, "x", "disk.read.%s.ratio", name);
	return 0;
}

int disk_round(struct bench *bench)
{
	struct rig_options options = {.bytes = GUEST_BYTES,
				      .huge_pages = true,
				      .disk = bench->options.swap,
				      .disk_bytes = DISK_BYTES};
	char path[256];
	struct content content;
	struct rig rig;
	struct raw *raw;
	int err = content_open(bench, &content);

	if (!err)
		err = rig_start(bench, &options, &rig);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s-raw", bench->options.swap);
	err = raw_open(path, DISK_BYTES, &raw);
	if (err)
		return bench_fail(bench, err, "%s: %s", path, strerror(-err));
	content_fill(&content, rig.ram.base, REGION_PAGES, rig.pages);
	rig_evict(&rig, 1, rig.space->region_count, UINT32_MAX);
	err = measure_writes(bench, &rig, raw);
	if (!err)
		err = measure_read(bench, &rig, raw, 1, "page");
	if (!err)
		err = measure_read(bench, &rig, raw, GROUP_PAGES, "group");
	raw_close(raw);
	rig_stop(&rig);
	return err;
}
