/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue (Virtio 1.2, section 2.7), the device's side: buffers that the driver made
 * available are popped, used ones pushed back. All three parts of the queue lie in guest memory, and
 * the driver may write anything there at any time: each word is read once, checked, and then used.
 * What breaks the rules breaks the queue: it says -EPROTO from then on, and its device needs a reset.
 *
 * A queue is used by one thread at a time: who holds the lock of its transport (virtio/mmio.h). It
 * touches guest memory, and so may wait for it.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include "virtio/host.h"

#define VIRTQUEUE_MAX_SIZE 1024U
/* Buffers of one chain, those of an indirect table included. */
#define VIRTQUEUE_MAX_CHAIN 1024U

struct virtqueue {
	struct virtio_host *host;
	u16 max_size;

	/* By the driver, before it says that the queue is ready. */
	u32 size;
	gpa_t descriptors, available, used;

	bool ready;
	bool broken;
	bool indirect, event_index; /* negotiated */
	u16 next_available;	    /* the driver's index we look at next */
	u16 next_used;		    /* our index */
	u16 signalled;		    /* next_used when the driver was last interrupted */
	bool signalled_valid;
	hva_t descriptors_at, available_at, used_at;
};

/* A buffer of a chain: checked guest memory. */
struct virtqueue_buffer {
	u8 *at;
	u32 length;
	gpa_t gpa; /* of `at` */
};

/* What the driver made available at once: first what the device reads, then what it writes. */
struct virtqueue_chain {
	u16 head;
	u32 readable, writable; /* buffers */
	u64 readable_bytes, writable_bytes;
	struct virtqueue_buffer buffers[VIRTQUEUE_MAX_CHAIN];
};

/* max_size: a power of two, at most VIRTQUEUE_MAX_SIZE. */
void virtqueue_init(struct virtqueue *queue, struct virtio_host *host, u16 max_size);

/* Forgets all the driver said. */
void virtqueue_reset(struct virtqueue *queue);

/* Takes the queue into use as the driver described it. Returns 0, -EINVAL for a size that is no power of
 * two or too large, or a part that is not aligned, -EFAULT for one that is not RAM. */
int virtqueue_enable(struct virtqueue *queue, bool indirect, bool event_index);

/* The next chain. Returns 1, 0 when there is none, -EPROTO when the queue is broken. Buffers of length
 * zero are left out. */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Gives a chain back, `written` bytes of it written. Returns true when the driver wants an interrupt. */
bool virtqueue_push(struct virtqueue *queue, u16 head, u32 written);

/* Asks the driver to notify us of the next chain it makes available. Returns true when there is one
 * already, which it may not have told us about. */
bool virtqueue_listen(struct virtqueue *queue);

/* Copies from the front of what the device may read, or to the front of what it may write: `bytes` at
 * most, from byte `offset` of it. Returns how many. */
u64 virtqueue_read(const struct virtqueue_chain *chain, u64 offset, void *to, u64 bytes);
u64 virtqueue_write(const struct virtqueue_chain *chain, u64 offset, const void *from, u64 bytes);

#endif
