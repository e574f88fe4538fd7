// SPDX-License-Identifier: Apache-2.0
/*
 * A split virtqueue, the driver's side (Virtio 1.2, section 2.7): few buffers, one descriptor each, added
 * and polled by one vCPU. With the event index, so that the device is told only when it waits, and counts
 * an interrupt only when we do.
 */
#ifndef GUEST_DRIVER_VQ_H
#define GUEST_DRIVER_VQ_H

#include "virtio/ring.h"

#define VQ_SIZE	 32U
#define VQ_BYTES 2048UL

struct guest_cpu;

struct vq {
	u32 index; /* its number on the device */
	u8 *memory;
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	u16 added, taken; /* indices */
};

/* In VQ_BYTES of the guest's memory. */
void vq_init(struct vq *vq, u32 index, u8 *memory);

static inline u64 vq_available_offset(void)
{
	return vring_desc_bytes(VQ_SIZE);
}

static inline u64 vq_used_offset(void)
{
	return ALIGN_UP(vq_available_offset() + vring_avail_bytes(VQ_SIZE), 64);
}

/* Makes a buffer available. False when there is no room. The device is told by vq_kick(). */
bool vq_add(struct vq *vq, u64 gpa, u32 bytes, bool write);

/* Tells the device, if it wants to know. */
void vq_kick(struct vq *vq, struct guest_cpu *cpu, u16 before);

/* Takes back a buffer that the device has used; false when there is none. */
bool vq_take(struct vq *vq);

/* Buffers the device has. */
static inline u16 vq_pending(const struct vq *vq)
{
	return (u16)(vq->added - vq->taken);
}

#endif
