/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous loads. A load is cut into reads; a read waits in one of two lines for a buffer, is transferred,
 * decoded into its pages by the completing thread, and hands its buffer to the next in line. A patient
 * load of one read is done by the caller itself, if nobody stands in line. A read that comes back damaged
 * or short is repeated page by page, so that one bad block costs one page.
 */
#include "swap/reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "swap/ring.h"

#define READS_MAX READER_DEPTH_MAX
/* Sixteen neighbours of the usual size, and the alignment at both ends. */
#define READ_BYTES (40 * KiB)
/* Reading over a gap is cheaper than another read. */
#define READ_GAP (8 * KiB)
/* Reads started in one system call. */
#define START_BATCH 16U
/* Of the depth, what is read ahead has one part in so many while others may come. */
#define AHEAD_PART    4U
#define OVERTAKEN_MAX 4U

struct read {
	struct ring_request request;
	struct read_batch *batch;
	STAILQ_ENTRY(read) in_line;
	u32 first, count; /* in batch->order */
};

struct read_batch {
	struct reader *reader;
	struct page_load *load;
	_Atomic u32 pending;
	u32 reads;
	u32 *order; /* the load's slots by offset in the file */
	struct read read[];
};

STAILQ_HEAD(line, read);

struct reader {
	struct swapfile *file;
	struct ring *ring;
	pthread_mutex_t lock; /* all below; not held during a submission */
	u32 depth;	      /* reads under way, at most, if there are buffers */
	u32 idle_count;
	u32 idle[READS_MAX]; /* buffers */
	struct line line;    /* of reads that are waited for */
	struct line ahead;   /* of those that are not */
	u32 ahead_count;     /* of these under way */
	u32 overtaken;	     /* reads that have begun since one of these did */
};

int reader_create(struct swapfile *file, struct budget *budget, struct reader **result)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return -ENOMEM;
	reader->file = file;
	err = ring_create(file, "swap-read", READS_MAX, READ_BYTES, budget, &reader->ring);
	if (err) {
		free(reader);
		return err;
	}
	STAILQ_INIT(&reader->line);
	STAILQ_INIT(&reader->ahead);
	reader->depth = READER_DEPTH_MAX;
	while (reader->idle_count < ring_buffers(reader->ring)) {
		reader->idle[reader->idle_count] = reader->idle_count;
		reader->idle_count++;
	}
	pthread_mutex_init(&reader->lock, NULL);
	*result = reader;
	return 0;
}

void reader_destroy(struct reader *reader)
{
	ring_destroy(reader->ring);
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}

static u64 place_end(u64 place)
{
	return place_offset(place) + sizeof(struct blob) + place_size(place);
}

static int slot_result(struct read *read, const struct page_load_slot *slot, s32 got)
{
	u64 offset = place_offset(slot->payload) - read->request.offset;
	u64 end = place_end(slot->payload) - read->request.offset;
	const struct blob *blob;

	if (got < 0 || (u64)got < end)
		return -EIO;
	blob = (const void *)(ring_buffer(read->batch->reader->ring, read->request.buffer) +
			      offset);
	if (!place_matches(slot->payload, blob))
		return -EBADMSG;
	return blob_decode(blob, end - offset, slot->buffer);
}

/* Waits for the device. Returns bytes or -errno. */
static s32 transfer(struct reader *reader, const struct ring_request *request)
{
	u8 *buffer = ring_buffer(reader->ring, request->buffer);
	ssize_t got;

	swapfile_io_begin(reader->file, SWAP_IO_READ, request->offset, buffer, request->length);
	got = pread(swapfile_fd(reader->file), buffer, request->length, (off_t)request->offset);
	return swapfile_io_end(reader->file, SWAP_IO_READ, request->offset, buffer, request->length,
			       got < 0 ? -errno : (s32)got);
}

/* Once more, for one page alone, with the read's own buffer. */
static int retry_slot(struct read *read, struct page_load_slot *slot)
{
	struct ring_request *request = &read->request;

	request->offset = ALIGN_DOWN(place_offset(slot->payload), SWAP_BLOCK);
	request->length = (u32)(ALIGN_UP(place_end(slot->payload), SWAP_BLOCK) - request->offset);
	return slot_result(read, slot, transfer(read->batch->reader, request));
}

static void decode(struct read *read, s32 got)
{
	struct read_batch *batch = read->batch;
	bool again = false;

	for (u32 i = 0; i < read->count; i++) {
		struct page_load_slot *slot = &batch->load->slots[batch->order[read->first + i]];

		slot->result = slot_result(read, slot, got);
		again |= slot->result != 0;
	}
	for (u32 i = 0; again && i < read->count; i++) {
		struct page_load_slot *slot = &batch->load->slots[batch->order[read->first + i]];

		if (slot->result)
			slot->result = retry_slot(read, slot);
	}
}

void reader_set_depth(struct reader *reader, u32 depth)
{
	pthread_mutex_lock(&reader->lock);
	reader->depth = MIN(MAX(depth, 1U), READER_DEPTH_MAX);
	pthread_mutex_unlock(&reader->lock);
}

u32 reader_depth(struct reader *reader)
{
	u32 depth;

	pthread_mutex_lock(&reader->lock);
	depth = reader->depth;
	pthread_mutex_unlock(&reader->lock);
	return depth;
}

static bool is_ahead(const struct read *read)
{
	return read->batch->load->ahead;
}

/* With the lock held: how many reads may be under way. */
static u32 depth_now(const struct reader *reader)
{
	return MIN(reader->depth, ring_buffers(reader->ring));
}

/* With the lock held: whether one more may be. */
static bool may_begin(const struct reader *reader)
{
	return ring_buffers(reader->ring) - reader->idle_count < depth_now(reader);
}

/* With the lock held: whose first read is the next to start; NULL: none now. What is read ahead has a part of the
 * depth, so that others need not wait for it, and is not overtaken for ever: a guest may have come to wait for it. */
static struct line *choose_line(struct reader *reader)
{
	bool waited = !STAILQ_EMPTY(&reader->line);

	if (!may_begin(reader))
		return NULL;
	if (!STAILQ_EMPTY(&reader->ahead) &&
	    reader->ahead_count < MAX(depth_now(reader) / AHEAD_PART, 1U) &&
	    (!waited || reader->overtaken >= OVERTAKEN_MAX))
		return &reader->ahead;
	return waited ? &reader->line : NULL;
}

/* With the lock held. */
static void take_buffer(struct reader *reader, struct read *read)
{
	read->request.buffer = reader->idle[--reader->idle_count];
	reader->ahead_count += is_ahead(read);
	reader->overtaken = is_ahead(read) ? 0 : reader->overtaken + 1;
}

/* With the lock held: the reads to start now, up to START_BATCH. */
static u32 take_startable(struct reader *reader, struct ring_request **requests)
{
	struct line *line;
	u32 count = 0;

	while (count < START_BATCH && (line = choose_line(reader))) {
		struct read *read = STAILQ_FIRST(line);

		STAILQ_REMOVE_HEAD(line, in_line);
		take_buffer(reader, read);
		requests[count++] = &read->request;
	}
	return count;
}

static void start_reads(struct reader *reader)
{
	struct ring_request *requests[START_BATCH];
	u32 count;

	do {
		pthread_mutex_lock(&reader->lock);
		count = take_startable(reader, requests);
		pthread_mutex_unlock(&reader->lock);
		ring_submit(reader->ring, requests, count);
	} while (count == START_BATCH);
}

static void give_buffer(struct reader *reader, struct read *read)
{
	pthread_mutex_lock(&reader->lock);
	reader->idle[reader->idle_count++] = read->request.buffer;
	reader->ahead_count -= is_ahead(read);
	pthread_mutex_unlock(&reader->lock);
	start_reads(reader);
}

/* Called by the ring's thread. */
static void read_complete(struct ring_request *request, s32 result)
{
	struct read *read = container_of(request, struct read, request);
	struct read_batch *batch = read->batch;
	struct reader *reader = batch->reader;
	struct page_load *load = batch->load;

	decode(read, result);
	give_buffer(reader, read);
	if (atomic_fetch_sub(&batch->pending, 1) > 1)
		return;
	free(batch);
	load->done(load);
}

static int by_offset(const void *a, const void *b, void *argument)
{
	const struct page_load *load = argument;
	u64 x = place_offset(load->slots[*(const u32 *)a].payload);
	u64 y = place_offset(load->slots[*(const u32 *)b].payload);

	return (x > y) - (x < y);
}

/* The read's range grows to take in this place too, if that is cheap. */
static bool extend(struct read *read, u64 place)
{
	u64 end = read->request.offset + read->request.length;
	u64 new_end = ALIGN_UP(place_end(place), SWAP_BLOCK);

	if (place_offset(place) > end + READ_GAP || new_end - read->request.offset > READ_BYTES)
		return false;
	read->request.length = (u32)(MAX(end, new_end) - read->request.offset);
	read->count++;
	return true;
}

static void cut_into_reads(struct read_batch *batch)
{
	struct read *read = NULL;

	for (u32 i = 0; i < batch->load->count; i++) {
		u64 place = batch->load->slots[batch->order[i]].payload;
		u64 offset = ALIGN_DOWN(place_offset(place), SWAP_BLOCK);

		if (read && extend(read, place))
			continue;
		read = &batch->read[batch->reads++];
		*read = (struct read){
			.batch = batch,
			.first = i,
			.count = 1,
			.request =
				{
					.op = SWAP_IO_READ,
					.offset = offset,
					.length = (u32)(ALIGN_UP(place_end(place), SWAP_BLOCK) -
							offset),
					.complete = read_complete,
				},
		};
	}
	atomic_store(&batch->pending, batch->reads);
}

static struct read_batch *make_batch(struct reader *reader, struct page_load *load)
{
	u64 reads_bytes = load->count * sizeof(struct read);
	struct read_batch *batch =
		malloc(sizeof(*batch) + reads_bytes + load->count * sizeof(*batch->order));

	if (!batch)
		return NULL;
	batch->reader = reader;
	batch->load = load;
	batch->reads = 0;
	batch->order = (u32 *)((u8 *)batch->read + reads_bytes);
	for (u32 i = 0; i < load->count; i++)
		batch->order[i] = i;
	qsort_r(batch->order, load->count, sizeof(*batch->order), by_offset, load);
	cut_into_reads(batch);
	return batch;
}

/* A read that need not stand in line. */
static bool may_pass(struct reader *reader, struct read *read)
{
	bool passes;

	pthread_mutex_lock(&reader->lock);
	passes = may_begin(reader) && STAILQ_EMPTY(&reader->line) &&
		 (STAILQ_EMPTY(&reader->ahead) || reader->overtaken < OVERTAKEN_MAX);
	if (passes)
		take_buffer(reader, read);
	pthread_mutex_unlock(&reader->lock);
	return passes;
}

/* Has a read done while the caller waits: that spares two changes of threads, which take longer than the device where
 * processors are busy. False: it would have to stand in line. */
static bool read_now(struct read *read)
{
	struct reader *reader = read->batch->reader;

	if (!may_pass(reader, read))
		return false;
	decode(read, transfer(reader, &read->request));
	give_buffer(reader, read);
	return true;
}

int reader_load(struct reader *reader, struct page_load *load)
{
	struct read_batch *batch;
	struct line *line;
	u32 reads;

	if (!load->count)
		return 0;
	batch = make_batch(reader, load);
	if (!batch)
		return -ENOMEM;
	if (load->patient && batch->reads == 1 && read_now(&batch->read[0])) {
		free(batch);
		return 0;
	}
	/* From the first start on the batch may end, and be gone, at any time. */
	reads = batch->reads;
	pthread_mutex_lock(&reader->lock);
	line = load->ahead ? &reader->ahead : &reader->line;
	if (load->ahead && STAILQ_EMPTY(line))
		reader->overtaken = 0; /* not by those before it came */
	for (u32 i = 0; i < reads; i++)
		STAILQ_INSERT_TAIL(line, &batch->read[i], in_line);
	pthread_mutex_unlock(&reader->lock);
	start_reads(reader);
	return -EINPROGRESS;
}
