/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/balloon.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/device.h"
#include "hv/guest.h"
#include "lib/clock.h"
#include "lib/thread.h"

struct hv_balloon {
	struct virtio_host machine;
	struct balloon_host host;
	struct bus_device bus;
	struct hv_guest *guest;
	struct balloon *device;
	int irq;
	int socket;
	bool started;
	pthread_t thread;
	u32 serial;		      /* of the last DROP */
	union attach_message message; /* of the device's thread */

	pthread_mutex_t lock; /* guards the next two */
	pthread_cond_t changed;
	u32 unanswered; /* DROPs */
	bool stopping;
};

static int machine_map(struct virtio_host *machine, gpa_t gpa, u64 length, hva_t *hva)
{
	struct hv_balloon *balloon = container_of(machine, struct hv_balloon, machine);

	return gpa_to_hva(&balloon->guest->ram, gpa, length, hva);
}

static void machine_interrupt(struct virtio_host *machine)
{
	struct hv_balloon *balloon = container_of(machine, struct hv_balloon, machine);

	if (balloon->irq >= 0)
		hv_event_raise(balloon->irq);
	else
		hv_guest_interrupt(balloon->guest);
}

static const struct virtio_host_ops machine_ops = {
	.map = machine_map,
	.interrupt = machine_interrupt,
};

/* Waits until fewer than `most` DROPs are unanswered; false when the guest ends instead. */
static bool await_answers(struct hv_balloon *balloon, u32 most)
{
	bool stopping;

	pthread_mutex_lock(&balloon->lock);
	while (balloon->unanswered >= most && !balloon->stopping)
		pthread_cond_wait(&balloon->changed, &balloon->lock);
	stopping = balloon->stopping;
	pthread_mutex_unlock(&balloon->lock);
	return !stopping;
}

/* Sends the message as it is, and begins the next. */
static int send_drop(struct hv_balloon *balloon)
{
	struct attach_drop *drop = &balloon->message.drop;
	u32 length =
		(u32)(offsetof(struct attach_drop, runs) + drop->count * sizeof(struct attach_run));
	int err;

	if (!await_answers(balloon, ATTACH_MAX_DROPS))
		return -EPIPE;
	pthread_mutex_lock(&balloon->lock);
	balloon->unanswered++;
	pthread_mutex_unlock(&balloon->lock);
	err = attach_send(balloon->socket, &balloon->message, ATTACH_DROP, length,
			  ++balloon->serial, NULL, 0);
	drop->count = 0;
	return err;
}

static int add_run(struct hv_balloon *balloon, u64 first, u64 count)
{
	struct attach_drop *drop = &balloon->message.drop;

	drop->runs[drop->count++] = (struct attach_run){(u32)first, (u32)count};
	return drop->count == ATTACH_MAX_RUNS ? send_drop(balloon) : 0;
}

/* The parts of a run of frames that are RAM, as pages of the RAM file. */
static int add_frames(struct hv_balloon *balloon, const struct balloon_run *run)
{
	const struct ram *ram = &balloon->guest->ram;
	int err = 0;

	for (u32 i = 0; i < ram->count && !err; i++) {
		const struct ram_region *region = &ram->regions[i];
		u64 start = region->gpa.value / PAGE_SIZE;
		u64 from = MAX(run->first, start);
		u64 to = MIN(run->first + run->count, start + region->length / PAGE_SIZE);

		if (from < to)
			err = add_run(balloon, region->offset / PAGE_SIZE + from - start,
				      to - from);
	}
	return err;
}

static int host_drop(struct balloon_host *host, enum balloon_drop what, u32 round,
		     const struct balloon_run *runs, u32 count)
{
	static const enum attach_drop_what whats[] = {
		[BALLOON_DROP_INFLATE] = ATTACH_DROP_INFLATE,
		[BALLOON_DROP_DEFLATE] = ATTACH_DROP_DEFLATE,
		[BALLOON_DROP_FREE] = ATTACH_DROP_FREE,
		[BALLOON_DROP_HINT] = ATTACH_DROP_HINT,
		[BALLOON_DROP_RESET] = ATTACH_DROP_RESET,
	};
	struct hv_balloon *balloon = container_of(host, struct hv_balloon, host);
	struct attach_drop *drop = &balloon->message.drop;
	int err = 0;

	drop->what = whats[what];
	drop->round = round;
	drop->reserved = 0;
	drop->count = 0;
	for (u32 i = 0; i < count && !err; i++)
		err = add_frames(balloon, &runs[i]);
	if (!err && (drop->count || what == BALLOON_DROP_RESET))
		err = send_drop(balloon);
	if (!err && !await_answers(balloon, 1))
		err = -EPIPE;
	return err;
}

static void host_changed(struct balloon_host *host, const struct balloon_status *status)
{
	struct hv_balloon *balloon = container_of(host, struct hv_balloon, host);
	struct attach_balloon_stats *stats = &balloon->message.balloon_stats;
	u64 age_ms = (clock_now_ns() - status->stats_ns) / NSEC_PER_MSEC;

	*stats = (struct attach_balloon_stats){
		.target_pages = status->target,
		.actual_pages = status->actual,
		.features = status->features,
		.age_ms = (u32)MIN(age_ms, (u64)UINT32_MAX),
		.valid = status->valid,
	};
	_Static_assert(sizeof(stats->values) == sizeof(status->values), "all tags are passed on");
	memcpy(stats->values, status->values, sizeof(stats->values));
	attach_send(balloon->socket, &balloon->message, ATTACH_BALLOON_STATS, sizeof(*stats), 0,
		    NULL, 0);
}

static const struct balloon_host_ops host_ops = {.drop = host_drop, .changed = host_changed};

static void bus_device_read(struct bus_device *bus, struct bus_access *access)
{
	struct hv_balloon *balloon = container_of(bus, struct hv_balloon, bus);

	access->value =
		virtio_mmio_read(balloon_mmio(balloon->device), access->offset, access->size);
}

static void bus_device_write(struct bus_device *bus, const struct bus_access *access)
{
	struct hv_balloon *balloon = container_of(bus, struct hv_balloon, bus);

	virtio_mmio_write(balloon_mmio(balloon->device), access->offset, access->size,
			  access->value);
}

static const struct bus_ops bus_ops = {
	.name = "balloon",
	.read = bus_device_read,
	.write = bus_device_write,
};

int hv_balloon_create(struct hv_guest *guest, struct hv_balloon **out)
{
	struct hv_balloon *balloon = calloc(1, sizeof(*balloon));
	int err;

	if (!balloon)
		return -ENOMEM;
	balloon->machine.ops = &machine_ops;
	balloon->host.ops = &host_ops;
	balloon->bus.ops = &bus_ops;
	balloon->guest = guest;
	balloon->irq = -1;
	err = balloon_create(&balloon->machine, &balloon->host, &balloon->device);
	if (err) {
		free(balloon);
		return err;
	}
	pthread_mutex_init(&balloon->lock, NULL);
	pthread_cond_init(&balloon->changed, NULL);
	*out = balloon;
	return 0;
}

static void stop(struct hv_balloon *balloon)
{
	pthread_mutex_lock(&balloon->lock);
	balloon->stopping = true;
	pthread_cond_broadcast(&balloon->changed);
	pthread_mutex_unlock(&balloon->lock);
	balloon_stop(balloon->device);
}

void hv_balloon_destroy(struct hv_balloon *balloon)
{
	if (!balloon)
		return;
	stop(balloon);
	if (balloon->started)
		pthread_join(balloon->thread, NULL);
	balloon_destroy(balloon->device);
	pthread_cond_destroy(&balloon->changed);
	pthread_mutex_destroy(&balloon->lock);
	free(balloon);
}

struct bus_device *hv_balloon_bus(struct hv_balloon *balloon)
{
	return &balloon->bus;
}

int hv_balloon_doorbell(const struct hv_balloon *balloon)
{
	return balloon_doorbell(balloon->device);
}

void hv_balloon_set_irq(struct hv_balloon *balloon, int irq)
{
	balloon->irq = irq;
}

static void *balloon_thread(void *argument)
{
	struct hv_balloon *balloon = argument;

	pthread_setname_np(pthread_self(), "balloon");
	balloon_run(balloon->device);
	return NULL;
}

int hv_balloon_start(struct hv_balloon *balloon, int socket)
{
	int err;

	balloon->socket = socket;
	err = thread_start(&balloon->thread, balloon_thread, balloon);
	balloon->started = !err;
	return err;
}

void hv_balloon_order(struct hv_balloon *balloon, const struct attach_balloon *order)
{
	const struct balloon_order wanted = {
		.target = (u32)order->target_pages,
		.stats_ms = order->stats_ms,
		.hint_round = order->hint_round,
	};

	balloon_order(balloon->device, &wanted);
}

void hv_balloon_dropped(struct hv_balloon *balloon)
{
	pthread_mutex_lock(&balloon->lock);
	if (balloon->unanswered)
		balloon->unanswered--;
	pthread_cond_broadcast(&balloon->changed);
	pthread_mutex_unlock(&balloon->lock);
}
