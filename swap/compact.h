/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction: where a class has more free slots than a slab's worth, spread over several, the blobs
 * of the emptiest slab move to fuller ones until it can go back to the host.
 */
#ifndef SWAP_COMPACT_H
#define SWAP_COMPACT_H

#include "lib/types.h"

struct owners;
struct zpool;

/* Frees about `bytes`, or what there is; returns the bytes of memory given back. Any thread, no lock
 * held; copies, never waits for I/O. */
u64 compact_pool(struct zpool *pool, const struct owners *owners, u64 bytes);

/* Bytes compaction could give back. */
u64 compact_gain(struct zpool *pool);

#endif
