/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/device.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"

#define QUEUE_SIZE 256
/* Frames taken out of a buffer at once: 64 MiB of guest memory. A longer buffer is taken in pieces, so
 * that a stop never waits for more than one. */
#define BATCH 16384U
/* Statistics in one buffer: each tag, and as many again that we do not know. */
#define STATS_MAX (2U * BALLOON_STATS)

#define FEATURE(name)  (1ULL << BALLOON_F_##name)
#define OUR_FEATURES   ((1ULL << BALLOON_FEATURES) - 1)
#define NO_QUEUE       BALLOON_QUEUES
#define CONFIG(member) offsetof(struct balloon_config, member)

struct balloon {
	struct virtio_device device;
	struct virtio_mmio mmio;
	struct balloon_host *host;
	int doorbell;
	_Atomic bool stop;

	pthread_mutex_t lock; /* guards the next two; innermost */
	struct balloon_config config;
	struct balloon_order wanted;

	/* The serving thread's own. */
	struct balloon_order order; /* as the driver was told */
	struct balloon_status status;
	bool changed;		   /* the status, since the host was told */
	bool lost;		   /* the host is gone */
	bool driver;		   /* there is one, and it is ready */
	bool holding;		   /* it has given up frames since the last reset */
	u32 epoch;		   /* of that driver */
	u32 poison;		   /* as the driver set it before it was ready */
	u32 queue[BALLOON_QUEUES]; /* where it has put each queue; NO_QUEUE: nowhere */
	bool hinting;		   /* it answers the present round */
	bool asking;		   /* we hold the buffer that asks for statistics: */
	u16 stats_head;
	u64 stats_due_ns;
	struct virtqueue_chain chain;
	u32 frames[BATCH], scratch[BATCH];
	struct balloon_run runs[BATCH];
};

static struct balloon *of_device(struct virtio_device *device)
{
	return container_of(device, struct balloon, device);
}

static void kick(struct balloon *balloon)
{
	eventfd_write(balloon->doorbell, 1);
}

static void read_config(struct virtio_device *device, u32 offset, u8 *to, u32 bytes)
{
	struct balloon *balloon = of_device(device);

	pthread_mutex_lock(&balloon->lock);
	memcpy(to, (const u8 *)&balloon->config + offset, bytes);
	pthread_mutex_unlock(&balloon->lock);
}

/* Which bytes of the configuration are the driver's. */
static bool writable(u32 offset)
{
	return (offset >= CONFIG(actual) && offset < CONFIG(hint_command)) ||
	       offset >= CONFIG(poison);
}

static void write_config(struct virtio_device *device, u32 offset, const u8 *from, u32 bytes)
{
	struct balloon *balloon = of_device(device);

	pthread_mutex_lock(&balloon->lock);
	for (u32 i = 0; i < bytes; i++) {
		if (writable(offset + i))
			((u8 *)&balloon->config)[offset + i] = from[i];
	}
	pthread_mutex_unlock(&balloon->lock);
	kick(balloon);
}

static void device_kick(struct virtio_device *device)
{
	kick(of_device(device));
}

static void device_reset(struct virtio_device *device)
{
	struct balloon *balloon = of_device(device);

	pthread_mutex_lock(&balloon->lock);
	balloon->config.actual = 0;
	balloon->config.poison = 0;
	pthread_mutex_unlock(&balloon->lock);
	kick(balloon);
}

static const struct virtio_device_ops device_ops = {
	.id = BALLOON_DEVICE_ID,
	.queues = BALLOON_QUEUES,
	.queue_size = QUEUE_SIZE,
	.features = OUR_FEATURES,
	.config_bytes = sizeof(struct balloon_config),
	.read_config = read_config,
	.write_config = write_config,
	.kick = device_kick,
	.reset = device_reset,
};

int balloon_create(struct virtio_host *machine, struct balloon_host *host, struct balloon **out)
{
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	int err;

	if (!balloon)
		return -ENOMEM;
	balloon->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (balloon->doorbell < 0) {
		err = -errno;
		free(balloon);
		return err;
	}
	balloon->device.ops = &device_ops;
	balloon->host = host;
	pthread_mutex_init(&balloon->lock, NULL);
	virtio_mmio_init(&balloon->mmio, &balloon->device, machine);
	*out = balloon;
	return 0;
}

void balloon_destroy(struct balloon *balloon)
{
	virtio_mmio_destroy(&balloon->mmio);
	pthread_mutex_destroy(&balloon->lock);
	close(balloon->doorbell);
	free(balloon);
}

struct virtio_mmio *balloon_mmio(struct balloon *balloon)
{
	return &balloon->mmio;
}

int balloon_doorbell(const struct balloon *balloon)
{
	return balloon->doorbell;
}

void balloon_order(struct balloon *balloon, const struct balloon_order *order)
{
	pthread_mutex_lock(&balloon->lock);
	balloon->wanted = *order;
	pthread_mutex_unlock(&balloon->lock);
	kick(balloon);
}

static void drop(struct balloon *balloon, enum balloon_drop what, u32 count)
{
	if (!balloon->lost && (count || what == BALLOON_DROP_RESET))
		balloon->lost = balloon->host->ops->drop(
					balloon->host, what,
					what == BALLOON_DROP_HINT ? balloon->order.hint_round : 0,
					balloon->runs, count) != 0;
}

/* A driver has gone, or another come: what it gave up is its machine's again. */
static void forget_driver(struct balloon *balloon)
{
	if (balloon->holding)
		drop(balloon, BALLOON_DROP_RESET, 0);
	balloon->holding = false;
	balloon->driver = false;
	balloon->asking = false;
	balloon->hinting = false;
	balloon->changed |= balloon->status.features || balloon->status.actual;
	balloon->status = (struct balloon_status){.target = balloon->status.target};
}

/*
 * Where the driver has put its queues. The specification numbers them whatever was negotiated; drivers
 * that count only those they have are told by a queue that is not ready where it should be.
 */
static void find_queues(struct balloon *balloon)
{
	static const u64 needs[BALLOON_QUEUES] = {
		[BALLOON_STATS_QUEUE] = FEATURE(STATS_VQ),
		[BALLOON_HINT_QUEUE] = FEATURE(FREE_PAGE_HINT),
		[BALLOON_REPORT_QUEUE] = FEATURE(REPORTING),
	};
	u64 features = balloon->status.features;
	bool compacted = false;
	u32 next = 0;

	for (u32 i = 0; i < BALLOON_QUEUES; i++)
		compacted |=
			(features & needs[i]) == needs[i] && !virtio_queue_ready(&balloon->mmio, i);
	for (u32 i = 0; i < BALLOON_QUEUES; i++) {
		bool has = (features & needs[i]) == needs[i];

		balloon->queue[i] = !has ? NO_QUEUE : compacted ? next : i;
		next += has;
	}
}

static void meet_driver(struct balloon *balloon)
{
	balloon->driver = true;
	balloon->changed = true;
	balloon->stats_due_ns = 0;
	balloon->status.features = 0;
	for (u32 i = 0; i < BALLOON_FEATURES; i++)
		balloon->status.features |= (u64)virtio_has_feature(&balloon->mmio, i) << i;
	balloon->status.features |= 1ULL << VIRTIO_F_VERSION_1; /* so that it is not 0 */
	find_queues(balloon);
}

/* Whether there is a driver to serve, the same as before or not. */
static bool check_driver(struct balloon *balloon)
{
	u32 epoch = virtio_epoch(&balloon->mmio);

	if (epoch != balloon->epoch) {
		balloon->epoch = epoch;
		forget_driver(balloon);
	}
	if (!balloon->driver && virtio_has_feature(&balloon->mmio, VIRTIO_F_VERSION_1))
		meet_driver(balloon);
	return balloon->driver;
}

/* The next chain of the driver we know; another's waits for check_driver(). */
static bool pop(struct balloon *balloon, enum balloon_queue queue)
{
	return !balloon->lost && balloon->queue[queue] != NO_QUEUE && !balloon->stop &&
	       virtio_pop(&balloon->mmio, balloon->queue[queue], balloon->epoch, &balloon->chain);
}

static void push(struct balloon *balloon, enum balloon_queue queue, u16 head)
{
	virtio_push(&balloon->mmio, balloon->queue[queue], balloon->epoch, head, 0);
}

/* Sections 5.5.6.1 and 5.5.6.2: an array of frame numbers, of any length. */
static void serve_frames(struct balloon *balloon, enum balloon_queue queue, enum balloon_drop what)
{
	while (pop(balloon, queue)) {
		u64 bytes = balloon->chain.readable_bytes;

		balloon->holding = true;
		for (u64 at = 0; at < bytes && !balloon->lost && !balloon->stop;
		     at += sizeof(balloon->frames)) {
			u32 count = (u32)(virtqueue_read(&balloon->chain, at, balloon->frames,
							 sizeof(balloon->frames)) /
					  sizeof(u32));

			drop(balloon, what,
			     balloon_make_runs(balloon->frames, balloon->scratch, count,
					       balloon->runs));
		}
		push(balloon, queue, balloon->chain.head);
	}
}

/* The buffers a device may write are the pages that the driver speaks of. */
static void drop_buffers(struct balloon *balloon, enum balloon_drop what)
{
	const struct virtqueue_chain *chain = &balloon->chain;
	u32 count = 0;

	/* Section 5.5.6.7.2: their content must stay if it is to be what the driver poisons with. */
	if (balloon->status.features & FEATURE(PAGE_POISON) && balloon->poison)
		return;
	for (u32 i = chain->readable; i < chain->readable + chain->writable; i++) {
		const struct virtqueue_buffer *buffer = &chain->buffers[i];

		count += balloon_run_within(buffer->gpa.value, buffer->length,
					    &balloon->runs[count]);
	}
	drop(balloon, what, count);
}

/* Section 5.5.6.7. */
static void serve_reports(struct balloon *balloon)
{
	while (pop(balloon, BALLOON_REPORT_QUEUE)) {
		drop_buffers(balloon, BALLOON_DROP_FREE);
		push(balloon, BALLOON_REPORT_QUEUE, balloon->chain.head);
	}
}

static void set_hint_command(struct balloon *balloon, u32 command)
{
	pthread_mutex_lock(&balloon->lock);
	balloon->config.hint_command = command;
	pthread_mutex_unlock(&balloon->lock);
	virtio_config_changed(&balloon->mmio);
}

static u32 round_command(u32 round)
{
	return round ? BALLOON_HINT_FIRST + round % (UINT32_MAX - BALLOON_HINT_FIRST)
		     : BALLOON_HINT_STOP;
}

/* Section 5.5.6.6: the number of the round it answers, its free pages, STOP. Then the pages are its own
 * again, and we say so: DONE. */
static void serve_hints(struct balloon *balloon)
{
	while (pop(balloon, BALLOON_HINT_QUEUE)) {
		bool done = false;
		u32 command;

		if (virtqueue_read(&balloon->chain, 0, &command, sizeof(command)) ==
		    sizeof(command)) {
			done = balloon->hinting && command == BALLOON_HINT_STOP;
			balloon->hinting = balloon->order.hint_round &&
					   command == round_command(balloon->order.hint_round);
		}
		if (balloon->hinting)
			drop_buffers(balloon, BALLOON_DROP_HINT);
		push(balloon, BALLOON_HINT_QUEUE, balloon->chain.head);
		if (done)
			set_hint_command(balloon, BALLOON_HINT_DONE);
	}
}

/* Section 5.5.6.3: packed pairs in any order. */
static void take_stats(struct balloon *balloon)
{
	struct balloon_stat_entry entries[STATS_MAX];
	struct balloon_status *status = &balloon->status;
	u32 count = (u32)(virtqueue_read(&balloon->chain, 0, entries, sizeof(entries)) /
			  sizeof(entries[0]));

	status->valid = 0;
	for (u32 i = 0; i < count; i++) {
		if (entries[i].tag >= BALLOON_STATS)
			continue;
		status->values[entries[i].tag] = entries[i].value;
		status->valid |= 1U << entries[i].tag;
	}
	status->stats_ns = clock_now_ns();
	balloon->changed = true;
}

/* The driver always leaves us one buffer; giving it back asks for new statistics. */
static void serve_stats(struct balloon *balloon)
{
	while (pop(balloon, BALLOON_STATS_QUEUE)) {
		/* More than one is more than it should give us. */
		if (balloon->asking)
			push(balloon, BALLOON_STATS_QUEUE, balloon->stats_head);
		balloon->asking = true;
		balloon->stats_head = balloon->chain.head;
		take_stats(balloon);
		balloon->stats_due_ns =
			balloon->status.stats_ns + balloon->order.stats_ms * NSEC_PER_MSEC;
	}
	if (!balloon->asking || !balloon->order.stats_ms || clock_now_ns() < balloon->stats_due_ns)
		return;
	balloon->asking = false;
	push(balloon, BALLOON_STATS_QUEUE, balloon->stats_head);
}

/* What the driver has written, and what it is to be told. */
static void follow_config(struct balloon *balloon)
{
	struct balloon_order wanted;
	bool tell, round;
	u32 actual;

	pthread_mutex_lock(&balloon->lock);
	wanted = balloon->wanted;
	tell = wanted.target != balloon->order.target;
	round = wanted.hint_round != balloon->order.hint_round;
	balloon->config.num_pages = wanted.target;
	actual = balloon->config.actual;
	balloon->poison = balloon->config.poison;
	pthread_mutex_unlock(&balloon->lock);

	balloon->stats_due_ns = MIN(balloon->stats_due_ns,
				    balloon->status.stats_ns + wanted.stats_ms * NSEC_PER_MSEC);
	balloon->order = wanted;
	balloon->status.target = wanted.target;
	balloon->changed |= tell || (balloon->driver && actual != balloon->status.actual);
	if (balloon->driver)
		balloon->status.actual = actual;
	if (round) {
		balloon->hinting = false;
		set_hint_command(balloon, round_command(wanted.hint_round));
	} else if (tell) {
		virtio_config_changed(&balloon->mmio);
	}
}

static bool listen(struct balloon *balloon)
{
	bool more = false;

	for (u32 i = 0; i < BALLOON_QUEUES; i++)
		more |= balloon->queue[i] != NO_QUEUE &&
			virtio_listen(&balloon->mmio, balloon->queue[i]);
	return more && !balloon->lost;
}

static int next_look_ms(const struct balloon *balloon)
{
	u64 now = clock_now_ns();

	if (!balloon->driver || !balloon->asking || !balloon->order.stats_ms)
		return -1;
	return now < balloon->stats_due_ns
		       ? (int)((balloon->stats_due_ns - now) / NSEC_PER_MSEC) + 1
		       : 0;
}

int balloon_serve(struct balloon *balloon)
{
	bool more = false;

	if (check_driver(balloon)) {
		serve_frames(balloon, BALLOON_DEFLATE_QUEUE, BALLOON_DROP_DEFLATE);
		serve_frames(balloon, BALLOON_INFLATE_QUEUE, BALLOON_DROP_INFLATE);
		serve_reports(balloon);
		serve_hints(balloon);
		serve_stats(balloon);
		more = listen(balloon);
	}
	follow_config(balloon);
	if (balloon->changed && !balloon->lost)
		balloon->host->ops->changed(balloon->host, &balloon->status);
	balloon->changed = false;
	return more ? 0 : next_look_ms(balloon);
}

void balloon_run(struct balloon *balloon)
{
	struct pollfd doorbell = {.fd = balloon->doorbell, .events = POLLIN};
	eventfd_t count;

	while (!balloon->stop && !balloon->lost) {
		int wait_ms = balloon_serve(balloon);

		poll(&doorbell, 1, wait_ms);
		eventfd_read(balloon->doorbell, &count);
	}
}

void balloon_stop(struct balloon *balloon)
{
	atomic_store(&balloon->stop, true);
	kick(balloon);
}
