/* SPDX-License-Identifier: Apache-2.0 */
/* The page source of the state PAGE_COMPRESSED: pages in the pool, ready in two microseconds. */
#ifndef SWAP_COMPRESSED_H
#define SWAP_COMPRESSED_H

#include <stdatomic.h>

#include "mem/source.h"

struct memory;
struct zpool;

struct compressed {
	struct page_source source;
	struct zpool *pool;
	struct memory *memory; /* for compaction; NULL: none */
	u32 acceleration;
	u32 max_blob_bytes;    /* what compresses less well is turned away */
	_Atomic u64 stored;    /* pages, total */
	_Atomic u64 out_bytes; /* what they became */
	_Atomic u64 poor;      /* pages turned away */
};

/* With pool to max_blob_bytes set by the caller, who keeps them alive. */
void compressed_init(struct compressed *compressed);

#endif
