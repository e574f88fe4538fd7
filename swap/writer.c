/* SPDX-License-Identifier: Apache-2.0 */
/* Packing blobs into segments and writing them. */
#include "swap/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "swap/ring.h"

/* 2 MiB at most: one is filled while enough others keep the device busy. */
#define SEGMENTS_MAX 8U
/* The rest of an extent below which a new segment is better begun in a new one. */
#define WORTHWHILE (16 * KiB)

enum segment_state { SEGMENT_IDLE, SEGMENT_OPEN, SEGMENT_WRITING };

struct segment {
	struct ring_request request;
	struct writer *writer;
	enum segment_state state;
	u64 number;
	u32 extent; /* pinned while open or writing */
	u32 start;  /* where in the extent it begins */
	u32 fill;   /* bytes appended */
};

struct writer {
	struct swapfile *file;
	struct ring *ring;
	pthread_mutex_t lock; /* all below; taken before the file's and the ring's */
	pthread_cond_t changed;
	struct segment segments[SEGMENTS_MAX];
	struct segment *open;
	u64 next_number;
	u32 extent; /* where the next segment begins, if `start` is not 0 */
	u32 start;
	u64 failed_number; /* of the last segment that failed, and why */
	int failed_error;
	u64 logged_ns;
};

static void written(struct ring_request *request, s32 result);

int writer_create(struct swapfile *file, struct budget *budget, struct writer **result)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	int err;

	if (!writer)
		return -ENOMEM;
	writer->file = file;
	writer->next_number = 1;
	err = ring_create(file, "swap-write", SEGMENTS_MAX, EXTENT_BYTES, budget, &writer->ring);
	if (err) {
		free(writer);
		return err;
	}
	for (u32 i = 0; i < ring_buffers(writer->ring); i++) {
		writer->segments[i].writer = writer;
		writer->segments[i].request = (struct ring_request){
			.op = SWAP_IO_WRITE,
			.buffer = i,
			.complete = written,
		};
	}
	pthread_mutex_init(&writer->lock, NULL);
	pthread_cond_init(&writer->changed, NULL);
	*result = writer;
	return 0;
}

void writer_destroy(struct writer *writer)
{
	ring_destroy(writer->ring);
	pthread_cond_destroy(&writer->changed);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}

static void report_failure(struct writer *writer, const struct segment *segment, int error)
{
	u64 now = clock_now_ns();

	if (writer->logged_ns && now - writer->logged_ns < NSEC_PER_SEC)
		return;
	writer->logged_ns = now;
	log_error("swap file: writing %u KiB at %llu failed: %s: the pages stay in memory; "
		  "check the device and its free space",
		  segment->request.length / 1024, (unsigned long long)segment->request.offset,
		  strerror(error));
}

/* Called by the ring's thread when a segment's write has ended. */
static void written(struct ring_request *request, s32 result)
{
	struct segment *segment = container_of(request, struct segment, request);
	struct writer *writer = segment->writer;
	int error = result < 0 ? -result : result != (s32)request->length ? EIO : 0;

	pthread_mutex_lock(&writer->lock);
	if (error) {
		report_failure(writer, segment, error);
		if (segment->number > writer->failed_number) {
			writer->failed_number = segment->number;
			writer->failed_error = error;
		}
	}
	swapfile_unpin(writer->file, segment->extent);
	segment->state = SEGMENT_IDLE;
	pthread_cond_broadcast(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
}

static u32 round_to_block(u8 *buffer, u32 fill)
{
	u32 length = (u32)ALIGN_UP(fill, SWAP_BLOCK);

	/* A header of zeros says: no more blobs in this block. */
	memset(buffer + fill, 0, length - fill);
	return length;
}

/* The rest of the segment's extent is for the next one. */
static void leave_rest(struct writer *writer, const struct segment *segment, u32 length)
{
	u32 end = segment->start + length;

	if (EXTENT_BYTES - end < WORTHWHILE)
		return;
	swapfile_pin(writer->file, segment->extent);
	writer->extent = segment->extent;
	writer->start = end;
}

/* Starts writing the open segment. With the lock held; drops it meanwhile. */
static void start_write(struct writer *writer)
{
	struct segment *segment = writer->open;
	struct ring_request *request = &segment->request;

	request->length = round_to_block(ring_buffer(writer->ring, request->buffer), segment->fill);
	request->offset = (u64)segment->extent * EXTENT_BYTES + segment->start;
	leave_rest(writer, segment, request->length);
	segment->state = SEGMENT_WRITING;
	writer->open = NULL;
	pthread_mutex_unlock(&writer->lock);
	ring_submit(writer->ring, &request, 1);
	pthread_mutex_lock(&writer->lock);
}

static struct segment *idle_segment(struct writer *writer)
{
	for (u32 i = 0; i < ring_buffers(writer->ring); i++)
		if (writer->segments[i].state == SEGMENT_IDLE)
			return &writer->segments[i];
	return NULL;
}

/* With the lock held: a new open segment, or -EAGAIN after waiting for one: look again. */
static int open_segment(struct writer *writer, bool from_reserve)
{
	struct segment *segment = idle_segment(writer);
	int err;

	if (!segment) {
		pthread_cond_wait(&writer->changed, &writer->lock);
		return -EAGAIN;
	}
	if (!writer->start) {
		err = swapfile_take(writer->file, from_reserve, &writer->extent);
		if (err)
			return err;
	}
	segment->extent = writer->extent;
	segment->start = writer->start;
	segment->fill = 0;
	segment->number = writer->next_number++;
	segment->state = SEGMENT_OPEN;
	writer->start = 0;
	writer->open = segment;
	return 0;
}

static bool fits(const struct segment *segment, u32 bytes)
{
	return segment->start + segment->fill + bytes <= EXTENT_BYTES;
}

/* Returns 0 with an open segment that has room for `bytes`. */
static int make_room(struct writer *writer, u32 bytes, bool from_reserve)
{
	int err = 0;

	while (!err || err == -EAGAIN) {
		if (writer->open && fits(writer->open, bytes))
			return 0;
		if (writer->open)
			start_write(writer);
		else
			err = open_segment(writer, from_reserve);
	}
	return err;
}

int writer_append(struct writer *writer, const struct encoded *blob, bool from_reserve, u64 *place,
		  u64 *number)
{
	u32 bytes = blob_bytes(&blob->header), padded = (u32)ALIGN_UP(bytes, SWAP_UNIT);
	struct segment *segment;
	u8 *at;
	int err;

	pthread_mutex_lock(&writer->lock);
	err = make_room(writer, padded, from_reserve);
	if (err)
		goto unlock;
	segment = writer->open;
	at = ring_buffer(writer->ring, segment->request.buffer) + segment->fill;
	blob_copy(at, blob);
	memset(at + bytes, 0, padded - bytes);
	*place = swapfile_hold(writer->file,
			       (u64)segment->extent * EXTENT_BYTES + segment->start + segment->fill,
			       &blob->header);
	*number = segment->number;
	segment->fill += padded;
unlock:
	pthread_mutex_unlock(&writer->lock);
	return err;
}

u64 writer_last_segment(struct writer *writer)
{
	u64 number;

	pthread_mutex_lock(&writer->lock);
	number = writer->next_number - 1;
	pthread_mutex_unlock(&writer->lock);
	return number;
}

static bool writing_up_to(const struct writer *writer, u64 last)
{
	for (u32 i = 0; i < ring_buffers(writer->ring); i++)
		if (writer->segments[i].state == SEGMENT_WRITING &&
		    writer->segments[i].number <= last)
			return true;
	return false;
}

int writer_wait(struct writer *writer, u64 first, u64 last)
{
	int err = 0;

	pthread_mutex_lock(&writer->lock);
	while (writer->open && writer->open->number <= last)
		start_write(writer);
	while (writing_up_to(writer, last))
		pthread_cond_wait(&writer->changed, &writer->lock);
	if (writer->failed_number >= first)
		err = -writer->failed_error;
	pthread_mutex_unlock(&writer->lock);
	return err;
}
