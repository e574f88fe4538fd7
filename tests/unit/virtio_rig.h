/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine and a driver for virtio devices under test: guest memory is a buffer, interrupts are
 * counted, and the driver writes whatever a test tells it to. All rings lie in the first half of memory,
 * buffers where the test puts them.
 */
#ifndef TESTS_UNIT_VIRTIO_RIG_H
#define TESTS_UNIT_VIRTIO_RIG_H

#include "virtio/mmio.h"
#include "virtio/ring.h"

#define RIG_BYTES   (256 * KiB)
#define RIG_SIZE    16U /* of each queue */
#define RIG_BUFFERS (128 * KiB)

struct virtio_rig {
	struct virtio_host host;
	u8 *ram;
	_Atomic u32 interrupts;
	struct virtio_mmio *mmio;
	u16 next_desc[VIRTIO_MAX_QUEUES];
};

void virtio_rig_init(struct virtio_rig *rig);
void virtio_rig_free(struct virtio_rig *rig);

/* Where the parts of a queue lie. */
u64 virtio_rig_desc_gpa(u32 queue);
struct vring_desc *virtio_rig_desc(struct virtio_rig *rig, u32 queue);
struct vring_avail *virtio_rig_avail(struct virtio_rig *rig, u32 queue);
struct vring_used *virtio_rig_used(struct virtio_rig *rig, u32 queue);

u32 virtio_rig_read(struct virtio_rig *rig, u32 offset);
void virtio_rig_write(struct virtio_rig *rig, u32 offset, u32 value);

/* Up to FEATURES_OK, with VERSION_1; true when the device agreed. */
bool virtio_rig_negotiate(struct virtio_rig *rig, u64 features);
void virtio_rig_setup_queue(struct virtio_rig *rig, u32 queue);
/* All of it: features, queues below `queues`, DRIVER_OK. */
bool virtio_rig_start(struct virtio_rig *rig, u64 features, u32 queues);

/* Makes the chain that begins at this descriptor available. */
void virtio_rig_offer(struct virtio_rig *rig, u32 queue, u16 head);
/* One buffer in a descriptor of its own, made available; returns the descriptor. */
u16 virtio_rig_add(struct virtio_rig *rig, u32 queue, u64 address, u32 length, u16 flags);

#endif
