// SPDX-License-Identifier: Apache-2.0
/*
 * How the balloon's driver, on vCPU 0, gets pages of the other vCPUs' page caches without a lock: each vCPU
 * has a mailbox with three rings, each with one writer and one reader.
 *
 *	driver  wanted  ->  cache    so many of your pages should be in the balloon
 *	cache   give    ->  driver   put these in
 *	cache   reclaim ->  driver   take these out again
 *	driver  back    ->  cache    they are out: yours
 *
 * A page goes into `give` before it goes into `reclaim`: who takes from the latter first empties the former.
 */
#ifndef GUEST_DRIVER_EXCHANGE_H
#define GUEST_DRIVER_EXCHANGE_H

#include "lib/types.h"

#define EXCHANGE_RING 512U

struct exchange_ring {
	u32 written, read; /* in all */
	u32 pages[EXCHANGE_RING];
};

struct exchange {
	/* By the driver. */
	u32 wanted;

	/* By the cache. */
	u32 ended;    /* its vCPU is done: what is in `back` is nobody's */
	u32 held;     /* pages it has given */
	u32 spare;    /* pages it could give besides */
	u32 resident; /* pages that hold something */
	u32 free;     /* pages that hold nothing */
	u64 faults;   /* misses: content that was made again */
	u64 first;    /* content made for the first time */
	u64 evicted;  /* pages taken from one piece of content for another: direct reclaim */
	u64 given;

	struct exchange_ring give, reclaim, back;
};

static inline u32 exchange_waiting(const struct exchange_ring *ring)
{
	return __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE) - ring->read;
}

/* False when the ring is full. */
static inline bool exchange_put(struct exchange_ring *ring, u32 page)
{
	u32 at = ring->written;

	if (at - __atomic_load_n(&ring->read, __ATOMIC_ACQUIRE) == EXCHANGE_RING)
		return false;
	ring->pages[at % EXCHANGE_RING] = page;
	__atomic_store_n(&ring->written, at + 1, __ATOMIC_RELEASE);
	return true;
}

/* False when it is empty. */
static inline bool exchange_get(struct exchange_ring *ring, u32 *page)
{
	if (!exchange_waiting(ring))
		return false;
	*page = ring->pages[ring->read % EXCHANGE_RING];
	__atomic_store_n(&ring->read, ring->read + 1, __ATOMIC_RELEASE);
	return true;
}

/* Whether this cache has not yet done what the driver wants. */
static inline bool exchange_busy(const struct exchange *exchange)
{
	if (__atomic_load_n(&exchange->ended, __ATOMIC_ACQUIRE))
		return false;
	return __atomic_load_n(&exchange->wanted, __ATOMIC_RELAXED) !=
		       __atomic_load_n(&exchange->held, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&exchange->back.written, __ATOMIC_ACQUIRE) !=
		       __atomic_load_n(&exchange->back.read, __ATOMIC_RELAXED);
}

#endif
