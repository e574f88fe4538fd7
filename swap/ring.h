/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous transfers to and from the swap file: an io_uring that any thread submits to and one
 * thread completes. Its buffers are registered with the kernel, which then need not pin pages for
 * every transfer.
 *
 * Reads and writes have a ring each. A completed read fills guest memory, and that may wait for
 * write-back to free some: on one ring it would wait for itself.
 */
#ifndef SWAP_RING_H
#define SWAP_RING_H

#include "swap/swapfile.h"

struct ring;
struct budget;

/* One transfer. Belongs to the ring from ring_submit() until `complete` is called. */
struct ring_request {
	enum swap_io op;
	u32 buffer; /* index */
	u32 length; /* bytes from the buffer's start; a multiple of SWAP_BLOCK, as is offset */
	u64 offset;

	/* Called by the ring's thread, no lock held. Result: bytes or -errno. */
	void (*complete)(struct ring_request *request, s32 result);
};

/* Up to `buffers` of `buffer_bytes` (a multiple of SWAP_BLOCK) are allocated and charged to the budget (may be NULL): fewer,
 * but four at least, where they would be more than a 256th of it. At most that many requests may be under way. Returns 0, or
 * -errno with the reason logged. */
int ring_create(struct swapfile *file, const char *name, u32 buffers, u32 buffer_bytes,
		struct budget *budget, struct ring **ring);

/* Waits for the transfers under way. */
void ring_destroy(struct ring *ring);

/* How many buffers there are. */
u32 ring_buffers(const struct ring *ring);

/* Memory of buffer `index`, aligned to SWAP_BLOCK. */
u8 *ring_buffer(const struct ring *ring, u32 index);

/* Starts transfers, in one system call. Does not wait for them. */
void ring_submit(struct ring *ring, struct ring_request *const *requests, u32 count);

#endif
