/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device behind MMIO registers (Virtio 1.2, section 4.2; modern only). It speaks with the
 * driver on vCPU threads, through registers; the device itself works on a thread of its own, through
 * the queues. What both need is guarded by the transport's lock, and a reset, which may come at any
 * moment, is noticed by its epoch:
 *
 *	device thread                            vCPU
 *	virtio_pop(.., epoch)  one chain
 *	work on it, no lock held                 writes 0 to Status: queues and features are gone,
 *	virtio_push(.., epoch)  -> nothing       the epoch is another
 *
 * The lock may be held while a ring is touched that the guest's memory does not have just now. So a vCPU
 * may wait for the manager here; a thread that the manager waits for stays away.
 */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include <pthread.h>

#include "virtio/mmio_abi.h"
#include "virtio/queue.h"

#define VIRTIO_MAX_QUEUES 8U

struct virtio_device;

/* On the thread of a vCPU, with the transport's lock held: must neither wait nor call the transport. */
struct virtio_device_ops {
	u32 id; /* section 5 */
	u32 queues;
	u16 queue_size;
	u64 features;	  /* the device's own; the transport adds its */
	u32 config_bytes; /* accesses beyond are not passed on */

	/* `bytes` of the configuration from `offset`, in any pieces the driver likes. Writing to fields
	 * that are the device's has no effect. */
	void (*read_config)(struct virtio_device *device, u32 offset, u8 *to, u32 bytes);
	void (*write_config)(struct virtio_device *device, u32 offset, const u8 *from, u32 bytes);

	/* The driver is ready (DRIVER_OK), or has made buffers available. Wakes the device's thread. */
	void (*kick)(struct virtio_device *device);

	/* The driver has reset the device: what it wrote into the configuration is void. Wakes the
	 * device's thread, which will find another epoch. */
	void (*reset)(struct virtio_device *device);
};

struct virtio_device {
	const struct virtio_device_ops *ops;
};

struct virtio_mmio {
	struct virtio_device *device;
	struct virtio_host *host;
	pthread_mutex_t lock; /* guards all below */
	u32 status;
	u64 driver_features;
	u32 device_features_sel, driver_features_sel, queue_sel;
	u32 interrupts;
	u32 generation; /* of the configuration: grows with each change by the device */
	u32 epoch;	/* resets so far */
	struct virtqueue queues[VIRTIO_MAX_QUEUES];
};

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device,
		      struct virtio_host *host);
void virtio_mmio_destroy(struct virtio_mmio *mmio);

/* A vCPU's access at `offset` of the registers, of 1, 2, 4 or 8 bytes. Registers but the configuration
 * want 4, aligned: others read as zero and are ignored. */
u64 virtio_mmio_read(struct virtio_mmio *mmio, u64 offset, u32 size);
void virtio_mmio_write(struct virtio_mmio *mmio, u64 offset, u32 size, u64 value);

/* What follows is for the device's thread. */

/* The device has changed its configuration: tells the driver. */
void virtio_config_changed(struct virtio_mmio *mmio);

/* How many resets there were; a device that has seen fewer forgets what it knew of its driver. */
u32 virtio_epoch(struct virtio_mmio *mmio);

/* Whether the driver negotiated this feature and is ready. */
bool virtio_has_feature(struct virtio_mmio *mmio, u32 feature);

/* Whether a driver is there and ready, and this queue in use. */
bool virtio_queue_ready(struct virtio_mmio *mmio, u32 queue);

/* The next chain of a queue, once the driver of this epoch is ready. True: there is one. A queue that is
 * broken makes the device need a reset. */
bool virtio_pop(struct virtio_mmio *mmio, u32 queue, u32 epoch, struct virtqueue_chain *chain);

/* Gives a chain back, unless there was a reset since. */
void virtio_push(struct virtio_mmio *mmio, u32 queue, u32 epoch, u16 head, u32 written);

/* Asks for a notification of the next chain; true: there is one already. */
bool virtio_listen(struct virtio_mmio *mmio, u32 queue);

#endif
