/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page source of the state PAGE_COMPRESSED: pages in the pool, ready in two microseconds; and pages
 * that refer to a shared blob (shared.h), wherever that is.
 */
#ifndef SWAP_COMPRESSED_H
#define SWAP_COMPRESSED_H

#include <stdatomic.h>

#include "mem/source.h"
#include "swap/owner.h"

struct dedup;
struct swapfile;
struct zpool;

struct compressed {
	struct page_source source;
	struct zpool *pool;
	struct owners owners;	  /* for compaction; memory NULL: none */
	struct dedup *dedup;	  /* NULL: every page has a blob of its own */
	struct page_source *disk; /* where shared blobs are written back to; NULL: nowhere */
	struct swapfile *file;	  /* takes pages while the pool recovers from being full; NULL: none */
	_Atomic u32 acceleration;
	_Atomic u32 max_blob_bytes; /* what compresses less well is turned away */
	_Atomic bool closed;	    /* takes no more pages but those that several guests share */
	_Atomic bool alone;	    /* a blob for each page, though there is a dedup */
	_Atomic u64 stored;	    /* pages compressed and stored, total */
	_Atomic u64 out_bytes;	    /* what they became */
	_Atomic u64 poor;	    /* pages turned away: they hardly shrink */
	_Atomic u64 recovering;	    /* ... and because the pool was full, and is not empty enough yet */
};

/* With pool to max_blob_bytes set (what may be NULL may) by the caller, who keeps them alive. */
void compressed_init(struct compressed *compressed);

#endif
