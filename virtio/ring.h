/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue as it lies in memory (Virtio 1.2, sections 2.7.5 to 2.7.8), little-endian.
 * Freestanding: the nano guest's driver is built from it as well.
 */
#ifndef VIRTIO_RING_H
#define VIRTIO_RING_H

#include "lib/types.h"

#define VRING_DESC_NEXT	    1
#define VRING_DESC_WRITE    2
#define VRING_DESC_INDIRECT 4

/* In available.flags: the driver wants no interrupts. In used.flags: the device wants no notifications.
 * Both only where the event index was not negotiated. */
#define VRING_AVAIL_NO_INTERRUPT 1
#define VRING_USED_NO_NOTIFY	 1

struct vring_desc {
	u64 address; /* guest-physical */
	u32 length;
	u16 flags;
	u16 next;
};

/* Followed by u16 used_event. */
struct vring_avail {
	u16 flags;
	u16 index;
	u16 ring[];
};

struct vring_used_element {
	u32 id;
	u32 length;
};

/* Followed by u16 avail_event. */
struct vring_used {
	u16 flags;
	u16 index;
	struct vring_used_element ring[];
};

#define VRING_DESC_ALIGN  16
#define VRING_AVAIL_ALIGN 2
#define VRING_USED_ALIGN  4

static inline u64 vring_desc_bytes(u32 size)
{
	return size * sizeof(struct vring_desc);
}

static inline u64 vring_avail_bytes(u32 size)
{
	return sizeof(struct vring_avail) + size * sizeof(u16) + sizeof(u16);
}

static inline u64 vring_used_bytes(u32 size)
{
	return sizeof(struct vring_used) + size * sizeof(struct vring_used_element) + sizeof(u16);
}

/* Section 2.7.10: whether the other side, which said it waits for index `event`, is to be told now that
 * the index has gone from `before` to `now`. */
static inline bool vring_need_event(u16 event, u16 now, u16 before)
{
	return (u16)(now - event - 1) < (u16)(now - before);
}

_Static_assert(sizeof(struct vring_desc) == 16, "ABI");
_Static_assert(sizeof(struct vring_used_element) == 8, "ABI");

#endif
