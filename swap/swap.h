/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swap as a whole: a compressed pool, a swap file, or the pool in front of the file; made from a few
 * options, and given to `mem/` as two page sources and a reclaimer.
 *
 *	store    evicted page -> content that is in the pool already: one reference more
 *	                      -> compressed (LZ4) -> pool
 *	                      -> raw, when it compresses poorly: file
 *	age      coldest blobs of the pool -> file, as they are
 *	load     pool: at once; file: asynchronous, neighbours by one read
 *
 * Lock order: the cleaner's; a region's (mem/); a shared blob's entry; then, none within another but as
 * shown: class, arena; writer, then swap file or ring; reader; the table of entries.
 */
#ifndef SWAP_SWAP_H
#define SWAP_SWAP_H

#include "lib/types.h"

struct memory;
struct page_source;
struct reclaimer;
struct swap;
struct swap_inject;

struct swap_options {
	u64 pool_bytes;		/* limit of the pool; 0: no pool */
	u64 pool_reserve;	/* the highest limit it may get later; 0: pool_bytes */
	u32 nodes;		/* NUMA nodes to keep apart; 0 and 1: none */
	const char *path;	/* of the swap file; NULL or "": none */
	u64 file_bytes;		/* its size */
	bool keep;		/* leave the file behind */
	u32 accept_percent;	/* a pool that was full takes pages again below that part of its limit; 0 is 100 */
	u32 acceleration;	/* LZ4's; 0 is 1 */
	bool share_before_swap; /* one blob for pages of the same content; needs a pool */
	u32 max_blob_bytes; /* a page that takes more is stored raw, on disk; 0: three quarters */
	/* Whose pages they are: for moving them; pool and buffers come out of its budget. */
	struct memory *memory;
	struct swap_inject *inject; /* tests only */
};

/* Now, and totals since the start. */
struct swap_stats {
	u64 stored_pages; /* total: to pool or file, by eviction, as references too */
	u64 pool_pages, pool_bytes, pool_blob_bytes, pool_limit_bytes;
	u64 disk_pages, disk_bytes, disk_blob_bytes, disk_limit_bytes;
	u64 compressed_in_bytes, compressed_out_bytes; /* totals, of pages stored in the pool */
	u64 written_bytes, read_bytes, io_errors;      /* totals, of the swap file */
	u64 reject_compress_poor;	/* pages the pool turned away: they hardly shrink */
	u64 pool_limit_hit;		/* ... or it was full */
	u64 reject_recovering;		/* ... or had been, and was not below its threshold yet */
	u64 swap_full;			/* times the swap file had no room */
	u64 cleaned_extents;		/* freed by moving what was alive in them */
	u64 dedup_hits;			/* pages stored by referring to what was there, total */
	u64 hash_collisions;		/* comparisons that found other content, total */
	u64 shared_blobs, shared_pages; /* blobs with an entry; pages that refer to them */
	u64 shared_disk_pages;		/* ... of those, whose blob is in the swap file */
	u64 shared_saved_bytes; /* what the blobs would take once more for each page but one */
	u64 shared_peak_saved_bytes;
	u64 dedup_bytes;		  /* memory of index and entries */
	u64 pool_reserved_bytes;	  /* the highest limit the pool can be given */
	u32 acceleration, max_blob_bytes; /* as they are now */
	u32 accept_percent;		  /* ... 100 without a file */
	u64 written_back_pages;		  /* from the pool to the file, total */
	bool pool_accepts, share;	  /* as they are now */
	u32 io_depth;			  /* 0: no file */
};

/* Returns 0, or -errno with the reason logged. After memory_init(). */
int swap_create(const struct swap_options *options, struct swap **swap);

/* All pages must have been invalidated, all loads have ended. */
void swap_destroy(struct swap *swap);

/* Good until swap_destroy(). NULL: no pool; no swap file; no pool that could be reclaimed from. */
struct page_source *swap_compressed(struct swap *swap);
struct page_source *swap_disk(struct swap *swap);
struct reclaimer *swap_writeback(struct swap *swap);

/*
 * Changes while all is in use, from any thread, good for pages stored from now on. What the options say
 * of them holds. swap_set_pool_limit() returns the limit that holds now: 0 without a pool, at most
 * what was reserved.
 */
u64 swap_set_pool_limit(struct swap *swap, u64 bytes);
void swap_set_acceleration(struct swap *swap, u32 acceleration);
void swap_set_max_blob_bytes(struct swap *swap, u32 bytes);

/* The pool takes evicted pages, or they go to the swap file; what is in it stays. -ENOTSUP: there is no
 * pool, or no file that could take them. */
int swap_set_pool_accepts(struct swap *swap, bool accepts);
/* Once full, the pool takes no new pages until write-back has brought it to so many per cent of its limit, 1 to
 * 100; meanwhile they go to the swap file, as long as that has room. -ENOTSUP: it is less than 100, and there is
 * no pool or no file. */
int swap_set_accept(struct swap *swap, u32 percent);
/* So many reads of the swap file are under way at once, at most: 1 to 64. -ENOTSUP: there is no file. */
int swap_set_io_depth(struct swap *swap, u32 depth);
/* One blob for pages of the same content, or one for each. -ENOTSUP: not asked for when it was made. */
int swap_set_share(struct swap *swap, bool share);

void swap_stats(struct swap *swap, struct swap_stats *stats);

/* The pool's memory of one NUMA node: its part of pool_bytes. */
u64 swap_node_bytes(struct swap *swap, u32 node);

#endif
