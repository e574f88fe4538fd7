/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/thread.h"

#define BUFFER_BYTES	(1 * MiB)
#define FAULTS_IN_FRAME 4096U
#define FAULT_BYTES	36U /* at most: three numbers of ten bytes, two of three */
#define PERIOD_NS	(20 * NSEC_PER_MSEC)

struct recorder {
	char path[256];
	int file;
	struct trace *trace;
	pthread_t thread;
	_Atomic bool stop;
	u64 start_ns;
	/* Of the thread that makes steps: the frame it is at, and whether all memories must be said again. */
	struct record_out step;
	size_t step_at;
	bool restate;
	pthread_mutex_t lock; /* innermost; held for a copy only. Guards: */
	struct record_out pending;
	u64 steps, steps_dropped;
	/* Of the recorder's thread. */
	struct record_out writing, faults;
	u64 fault_count, written, dropped_cache;
	u64 faults_lost; /* taken out, and not written */
	int failure;	 /* -errno of the file: nothing is written any more */
};

/* ---- what others say ---- */

/* A frame that is complete, for the thread to write. */
static bool leave(struct recorder *recorder, const struct record_out *frame)
{
	struct record_out *pending = &recorder->pending;
	bool room;

	pthread_mutex_lock(&recorder->lock);
	room = frame->used <= pending->size - pending->used;
	if (room) {
		memcpy(pending->data + pending->used, frame->data, frame->used);
		pending->used += frame->used;
	}
	pthread_mutex_unlock(&recorder->lock);
	return room;
}

void recorder_guest(struct recorder *recorder, u32 number, u32 space, const char *name)
{
	struct record_guest guest = {.number = number, .space = space};
	u8 bytes[256];
	struct record_out frame = {bytes, 0, sizeof(bytes), false};
	size_t at = record_begin(&frame, RECORD_GUEST);

	snprintf(guest.name, sizeof(guest.name), "%s", name);
	record_put_guest(&frame, &guest);
	if (record_end(&frame, at))
		leave(recorder, &frame);
}

/* Steps of a guest begin with nothing remembered. */
static bool begins(const struct target_memory *memory)
{
	static const struct target_memory nothing;

	return memcmp(memory, &nothing, sizeof(nothing)) == 0;
}

void recorder_begin_step(struct recorder *recorder, const struct record_step *step,
			 const u32 *numbers, const struct target_guest *inputs,
			 const struct target_memory *memories)
{
	struct record_out *frame = &recorder->step;

	frame->used = 0;
	recorder->step_at = record_begin(frame, RECORD_STEP);
	record_put_step(frame, step);
	for (u32 i = 0; i < step->count; i++) {
		const struct record_row row = {
			.number = numbers[i],
			.restated = recorder->restate || begins(&memories[i]),
			.input = inputs[i],
			.memory = memories[i],
		};

		record_put_row(frame, &row);
	}
}

void recorder_end_step(struct recorder *recorder, enum host_state after, u32 count,
		       const struct target_decision *decisions)
{
	struct record_out *frame = &recorder->step;
	bool left;

	for (u32 i = 0; i < count; i++)
		record_put_decision(frame, &decisions[i]);
	record_put_state(frame, after);
	left = record_end(frame, recorder->step_at) && leave(recorder, frame);
	recorder->restate = !left;
	pthread_mutex_lock(&recorder->lock);
	if (left)
		recorder->steps++;
	else
		recorder->steps_dropped++;
	pthread_mutex_unlock(&recorder->lock);
}

/* ---- the thread ---- */

/* What has been written need not stay in memory, where it would count as the host's. */
static void drop_cache(struct recorder *recorder)
{
	if (recorder->written - recorder->dropped_cache < BUFFER_BYTES)
		return;
	sync_file_range(recorder->file, 0, 0, SYNC_FILE_RANGE_WRITE);
	posix_fadvise(recorder->file, 0, (off_t)recorder->dropped_cache, POSIX_FADV_DONTNEED);
	recorder->dropped_cache = recorder->written;
}

static void write_out(struct recorder *recorder, struct record_out *out)
{
	size_t done = 0;

	while (!recorder->failure && done < out->used) {
		ssize_t bytes = write(recorder->file, out->data + done, out->used - done);

		if (bytes > 0) {
			done += (size_t)bytes;
		} else if (bytes == 0 || errno != EINTR) {
			recorder->failure = bytes ? -errno : -EIO;
			log_warn("record %s: cannot be written: %s; the run goes on without it",
				 recorder->path, strerror(-recorder->failure));
		}
	}
	recorder->written += done;
	out->used = 0;
	drop_cache(recorder);
}

/* Moves faults into a frame. Returns how many. */
static u32 take_faults(struct recorder *recorder)
{
	struct record_out *out = &recorder->faults;
	size_t at = record_begin(out, RECORD_FAULTS);
	u64 since_ns = recorder->start_ns;
	struct trace_fault fault;
	u32 count = 0;

	while (count < FAULTS_IN_FRAME && trace_take(recorder->trace, &fault)) {
		record_put_fault(out, &fault, since_ns);
		since_ns = fault.ended_ns;
		count++;
	}
	if (!count)
		out->used = at;
	else
		record_end(out, at);
	return count;
}

/* A fault's guest was named before it ran: so what others said is taken after the faults, and written
 * before them. Returns whether there may be more. */
static bool write_some(struct recorder *recorder)
{
	u32 count = take_faults(recorder);
	struct record_out said;

	pthread_mutex_lock(&recorder->lock);
	said = recorder->pending;
	recorder->pending = recorder->writing;
	pthread_mutex_unlock(&recorder->lock);
	recorder->writing = said;
	write_out(recorder, &recorder->writing);
	write_out(recorder, &recorder->faults);
	if (recorder->failure)
		recorder->faults_lost += count;
	else
		recorder->fault_count += count;
	return count == FAULTS_IN_FRAME;
}

static void *run(void *argument)
{
	const struct timespec period = {.tv_nsec = PERIOD_NS};
	struct recorder *recorder = argument;

	while (!atomic_load(&recorder->stop))
		if (!write_some(recorder))
			nanosleep(&period, NULL);
	while (write_some(recorder))
		;
	return NULL;
}

/* ---- its life ---- */

static bool make_room(struct record_out *out)
{
	*out = (struct record_out){.data = malloc(BUFFER_BYTES), .size = BUFFER_BYTES};
	return out->data;
}

_Static_assert(FAULTS_IN_FRAME *FAULT_BYTES + RECORD_FRAME_EXTRA <= BUFFER_BYTES, "a frame fits");

static void put_head(struct recorder *recorder, const char *name)
{
	struct record_host host = {.version = RECORD_VERSION, .start_ns = recorder->start_ns};
	struct record_out *out = &recorder->pending;
	size_t at;

	snprintf(host.name, sizeof(host.name), "%s", name);
	memcpy(out->data, RECORD_MAGIC, strlen(RECORD_MAGIC));
	out->used = strlen(RECORD_MAGIC);
	at = record_begin(out, RECORD_HOST);
	record_put_host(out, &host);
	record_end(out, at);
}

static void destroy(struct recorder *recorder)
{
	if (recorder->file >= 0)
		close(recorder->file);
	free(recorder->step.data);
	free(recorder->pending.data);
	free(recorder->writing.data);
	free(recorder->faults.data);
	pthread_mutex_destroy(&recorder->lock);
	free(recorder);
}

static int start(struct recorder *recorder, const char *host)
{
	if (!make_room(&recorder->step) || !make_room(&recorder->pending) ||
	    !make_room(&recorder->writing) || !make_room(&recorder->faults) || !recorder->trace)
		return -ENOMEM;
	recorder->file = open(recorder->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (recorder->file < 0)
		return -errno;
	put_head(recorder, host);
	return thread_start(&recorder->thread, run, recorder);
}

int recorder_open(const char *path, const char *host, struct memory *memory, struct recorder **out)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	int ret;

	if (!recorder)
		return -ENOMEM;
	recorder->file = -1;
	recorder->restate = true;
	recorder->start_ns = clock_now_ns();
	recorder->trace = trace_create();
	pthread_mutex_init(&recorder->lock, NULL);
	snprintf(recorder->path, sizeof(recorder->path), "%s", path);
	ret = start(recorder, host);
	if (ret) {
		log_error("record %s: cannot be made: %s", path, strerror(-ret));
		free(recorder->trace);
		destroy(recorder);
		return ret;
	}
	/* It is the memory's from now on, whose threads may still look at it when we are gone. */
	atomic_store(&memory->trace, recorder->trace);
	*out = recorder;
	return 0;
}

void recorder_close(struct recorder *recorder)
{
	struct record_end end;
	size_t at;

	if (!recorder)
		return;
	atomic_store(&recorder->stop, true);
	pthread_join(recorder->thread, NULL);
	end = (struct record_end){
		.steps_dropped = recorder->steps_dropped,
		.faults_dropped = atomic_load(&recorder->trace->dropped) + recorder->faults_lost,
	};
	at = record_begin(&recorder->writing, RECORD_END);
	record_put_end(&recorder->writing, &end);
	record_end(&recorder->writing, at);
	write_out(recorder, &recorder->writing);
	if (!recorder->failure)
		log_info("record %s: %lu steps and %lu faults; %lu and %lu dropped", recorder->path,
			 recorder->steps, recorder->fault_count, end.steps_dropped,
			 end.faults_dropped);
	destroy(recorder);
}
