/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/mmio.h"

#include <string.h>

#define VENDOR_ID 0x54534c42U /* "BLST" */

#define TRANSPORT_FEATURES                                                                         \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_INDIRECT_DESC | 1ULL << VIRTIO_F_EVENT_IDX)

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device,
		      struct virtio_host *host)
{
	*mmio = (struct virtio_mmio){.device = device, .host = host};
	pthread_mutex_init(&mmio->lock, NULL);
	for (u32 i = 0; i < device->ops->queues; i++)
		virtqueue_init(&mmio->queues[i], host, device->ops->queue_size);
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	pthread_mutex_destroy(&mmio->lock);
}

static u64 offered(const struct virtio_mmio *mmio)
{
	return mmio->device->ops->features | TRANSPORT_FEATURES;
}

static bool negotiated(const struct virtio_mmio *mmio, u32 feature)
{
	return mmio->driver_features >> feature & 1;
}

/* Section 2.1.2: no buffer is consumed before DRIVER_OK, nor after the device has given up. */
static bool running(const struct virtio_mmio *mmio)
{
	return (mmio->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET |
				VIRTIO_STATUS_FAILED)) == VIRTIO_STATUS_DRIVER_OK;
}

static void interrupt(struct virtio_mmio *mmio, u32 why)
{
	mmio->interrupts |= why;
	mmio->host->ops->interrupt(mmio->host);
}

/* Lock held. */
static void give_up(struct virtio_mmio *mmio)
{
	if (mmio->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	mmio->status |= VIRTIO_STATUS_NEEDS_RESET;
	if (mmio->status & VIRTIO_STATUS_DRIVER_OK)
		interrupt(mmio, VIRTIO_INTERRUPT_CONFIG);
}

static void reset(struct virtio_mmio *mmio)
{
	mmio->status = 0;
	mmio->driver_features = 0;
	mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
	mmio->interrupts = 0;
	for (u32 i = 0; i < mmio->device->ops->queues; i++)
		virtqueue_reset(&mmio->queues[i]);
	mmio->epoch++;
	mmio->device->ops->reset(mmio->device);
}

/* Section 3.1.1: the driver may set bits and clear none; it cannot set ours. FEATURES_OK stays clear when
 * we do not agree. */
static void write_status(struct virtio_mmio *mmio, u32 value)
{
	u32 before = mmio->status;

	if (!value) {
		reset(mmio);
		return;
	}
	value = (value & 0xff & ~VIRTIO_STATUS_NEEDS_RESET) | before;
	if (value & ~before & VIRTIO_STATUS_FEATURES_OK &&
	    (mmio->driver_features & ~offered(mmio) || !negotiated(mmio, VIRTIO_F_VERSION_1)))
		value &= ~VIRTIO_STATUS_FEATURES_OK;
	if (value & VIRTIO_STATUS_DRIVER_OK && !(value & VIRTIO_STATUS_FEATURES_OK))
		value &= ~VIRTIO_STATUS_DRIVER_OK;
	mmio->status = value;
	if (!(value & ~before & VIRTIO_STATUS_DRIVER_OK))
		return;
	if (value & VIRTIO_STATUS_NEEDS_RESET)
		interrupt(mmio, VIRTIO_INTERRUPT_CONFIG);
	mmio->device->ops->kick(mmio->device);
}

static void write_features(struct virtio_mmio *mmio, u32 value)
{
	u64 *features = &mmio->driver_features;

	if (mmio->status & VIRTIO_STATUS_FEATURES_OK)
		return;
	if (mmio->driver_features_sel == 0)
		*features = (*features & ~(u64)UINT32_MAX) | value;
	else if (mmio->driver_features_sel == 1)
		*features = (*features & UINT32_MAX) | (u64)value << 32;
	else if (value)
		*features |= 1ULL << 63; /* a feature nobody offers: refused */
}

static struct virtqueue *selected(struct virtio_mmio *mmio)
{
	return mmio->queue_sel < mmio->device->ops->queues ? &mmio->queues[mmio->queue_sel] : NULL;
}

static void write_ready(struct virtio_mmio *mmio, struct virtqueue *queue, u32 value)
{
	if (!(value & 1)) {
		queue->ready = false;
		return;
	}
	if (queue->ready)
		return;
	/* The rings may be anything the driver names: what it names wrongly breaks it. */
	if (!(mmio->status & VIRTIO_STATUS_FEATURES_OK) ||
	    virtqueue_enable(queue, negotiated(mmio, VIRTIO_F_INDIRECT_DESC),
			     negotiated(mmio, VIRTIO_F_EVENT_IDX)))
		give_up(mmio);
}

static void set_half(gpa_t *address, u32 value, bool high)
{
	u64 old = address->value;

	address->value =
		high ? (old & UINT32_MAX) | (u64)value << 32 : (old & ~(u64)UINT32_MAX) | value;
}

/* Section 4.2.2.2: a queue in use does not change. */
static void write_queue(struct virtio_mmio *mmio, u64 offset, u32 value)
{
	struct virtqueue *queue = selected(mmio);

	if (!queue)
		return;
	if (offset == VIRTIO_MMIO_QUEUE_READY) {
		write_ready(mmio, queue, value);
		return;
	}
	if (queue->ready)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		queue->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&queue->descriptors, value, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_DRIVER_LOW:
	case VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
		set_half(&queue->available, value, offset == VIRTIO_MMIO_QUEUE_DRIVER_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_DEVICE_LOW:
	case VIRTIO_MMIO_QUEUE_DEVICE_HIGH:
		set_half(&queue->used, value, offset == VIRTIO_MMIO_QUEUE_DEVICE_HIGH);
		break;
	}
}

static void write_register(struct virtio_mmio *mmio, u64 offset, u32 value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_features(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (running(mmio) && value < mmio->device->ops->queues)
			mmio->device->ops->kick(mmio->device);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		mmio->interrupts &= ~value;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(mmio, value);
		break;
	default:
		write_queue(mmio, offset, value);
	}
}

static u32 read_features(const struct virtio_mmio *mmio)
{
	return mmio->device_features_sel < 2
		       ? (u32)(offered(mmio) >> 32 * mmio->device_features_sel)
		       : 0;
}

static u32 read_register(struct virtio_mmio *mmio, u64 offset)
{
	const struct virtqueue *queue = selected(mmio);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC:
		return VIRTIO_MMIO_MAGIC_VALUE;
	case VIRTIO_MMIO_VERSION:
		return VIRTIO_MMIO_VERSION_VALUE;
	case VIRTIO_MMIO_DEVICE_ID:
		return mmio->device->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return read_features(mmio);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return queue ? queue->max_size : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return queue && queue->ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return mmio->interrupts;
	case VIRTIO_MMIO_STATUS:
		return mmio->status;
	case VIRTIO_MMIO_SHM_LEN_LOW: /* section 4.2.2.1: no such memory */
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return mmio->generation;
	default:
		return 0;
	}
}

/* The part of an access that lies in the configuration. */
static u32 config_part(const struct virtio_mmio *mmio, u64 offset, u32 size)
{
	u32 bytes = mmio->device->ops->config_bytes;

	return offset < bytes ? (u32)MIN(size, bytes - offset) : 0;
}

u64 virtio_mmio_read(struct virtio_mmio *mmio, u64 offset, u32 size)
{
	u64 value = 0;

	size = MIN(size, (u32)sizeof(value));
	pthread_mutex_lock(&mmio->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		u8 bytes[sizeof(value)] = {};
		u32 part = config_part(mmio, offset - VIRTIO_MMIO_CONFIG, size);

		if (part)
			mmio->device->ops->read_config(
				mmio->device, (u32)(offset - VIRTIO_MMIO_CONFIG), bytes, part);
		memcpy(&value, bytes, sizeof(value));
	} else if (size == sizeof(u32) && !(offset % sizeof(u32))) {
		value = read_register(mmio, offset);
	}
	pthread_mutex_unlock(&mmio->lock);
	return value;
}

void virtio_mmio_write(struct virtio_mmio *mmio, u64 offset, u32 size, u64 value)
{
	size = MIN(size, (u32)sizeof(value));
	pthread_mutex_lock(&mmio->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		u8 bytes[sizeof(value)];
		u32 part = config_part(mmio, offset - VIRTIO_MMIO_CONFIG, size);

		memcpy(bytes, &value, sizeof(value));
		if (part)
			mmio->device->ops->write_config(
				mmio->device, (u32)(offset - VIRTIO_MMIO_CONFIG), bytes, part);
	} else if (size == sizeof(u32) && !(offset % sizeof(u32))) {
		write_register(mmio, offset, (u32)value);
	}
	pthread_mutex_unlock(&mmio->lock);
}

/* A driver that is not ready yet reads the configuration once it is. */
void virtio_config_changed(struct virtio_mmio *mmio)
{
	pthread_mutex_lock(&mmio->lock);
	mmio->generation++;
	if (mmio->status & VIRTIO_STATUS_DRIVER_OK)
		interrupt(mmio, VIRTIO_INTERRUPT_CONFIG);
	pthread_mutex_unlock(&mmio->lock);
}

u32 virtio_epoch(struct virtio_mmio *mmio)
{
	u32 epoch;

	pthread_mutex_lock(&mmio->lock);
	epoch = mmio->epoch;
	pthread_mutex_unlock(&mmio->lock);
	return epoch;
}

bool virtio_has_feature(struct virtio_mmio *mmio, u32 feature)
{
	bool has;

	pthread_mutex_lock(&mmio->lock);
	has = running(mmio) && negotiated(mmio, feature);
	pthread_mutex_unlock(&mmio->lock);
	return has;
}

bool virtio_queue_ready(struct virtio_mmio *mmio, u32 queue)
{
	bool ready;

	pthread_mutex_lock(&mmio->lock);
	ready = running(mmio) && mmio->queues[queue].ready;
	pthread_mutex_unlock(&mmio->lock);
	return ready;
}

bool virtio_pop(struct virtio_mmio *mmio, u32 queue, u32 epoch, struct virtqueue_chain *chain)
{
	int popped = 0;

	pthread_mutex_lock(&mmio->lock);
	if (epoch == mmio->epoch && running(mmio))
		popped = virtqueue_pop(&mmio->queues[queue], chain);
	if (popped < 0)
		give_up(mmio);
	pthread_mutex_unlock(&mmio->lock);
	return popped > 0;
}

void virtio_push(struct virtio_mmio *mmio, u32 queue, u32 epoch, u16 head, u32 written)
{
	pthread_mutex_lock(&mmio->lock);
	if (epoch == mmio->epoch && running(mmio) &&
	    virtqueue_push(&mmio->queues[queue], head, written))
		interrupt(mmio, VIRTIO_INTERRUPT_USED);
	pthread_mutex_unlock(&mmio->lock);
}

bool virtio_listen(struct virtio_mmio *mmio, u32 queue)
{
	bool more;

	pthread_mutex_lock(&mmio->lock);
	more = running(mmio) && virtqueue_listen(&mmio->queues[queue]);
	pthread_mutex_unlock(&mmio->lock);
	return more;
}
