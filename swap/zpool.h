/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed pool: blobs in memory, by size class and NUMA node. A blob costs its slot (the
 * classes lie 3 to 6 % apart) and three bytes of a slab's description; there is no table of blobs:
 * the page descriptor's payload says where the blob is, the blob's header whose it is.
 *
 *	payload:  | 0 | node 8 | slab 34 | slot 9 |
 *
 * Slabs come out of the budget as reclaim's share: to free a page, its blob must be stored first.
 *
 * A blob stays where it is, and may be read without a lock, while the caller holds its page: only
 * who holds the page may free or move it.
 */
#ifndef SWAP_ZPOOL_H
#define SWAP_ZPOOL_H

#include "mem/page.h"
#include "swap/blob.h"
#include "swap/zclass.h"

#define ZPOOL_MAX_CLASSES 72
#define ZPOOL_MAX_BLOB	  4080U /* data bytes: with its header, the largest slot */

struct zpool_node {
	struct zarena arena;
	struct zclass classes[ZPOOL_MAX_CLASSES];
};

struct zpool {
	struct zlimit limit;
	u32 node_count;
	u32 class_count;
	u8 class_of[PAGE_SIZE / 8 +
		    1];	       /* by bytes of blob with header, in units of 8, rounded up */
	_Atomic u64 clock;     /* ticks when a slab is begun: the age of slabs */
	_Atomic u64 limit_hit; /* stores refused for want of room */
	struct zpool_node *nodes;
};

struct zpool_stats {
	u64 blobs;
	u64 blob_bytes; /* data, without headers */
	u64 used_bytes; /* slabs */
	u64 limit_bytes;
	u64 limit_hit;
	u32 accept_percent;
};

struct zpool_item {
	u64 payload;
	struct page_owner owner;
};

/* A pool of at most `bytes`, with slabs taken from `budget` (NULL: none), over `nodes` NUMA nodes.
 * Returns 0 or -errno. */
int zpool_create(u64 bytes, u32 nodes, struct budget *budget, struct zpool **pool);

/* Another limit, from any thread: at least a slab, at most what the pool was created with. Above a lower
 * one nothing is thrown out, but nothing new gets in until write-back has emptied the pool below it.
 * Returns the limit that holds now. */
u64 zpool_set_limit(struct zpool *pool, u64 bytes);

/* From the limit on that is reached next: percent of it, 1 to 100. */
void zpool_set_accept(struct zpool *pool, u32 percent);

/* Bytes by which a pool that was full is above what it accepts pages from; 0: it accepts them. Whether they are
 * kept out is the caller's business. */
u64 zpool_excess(struct zpool *pool);

/* Whatever is still stored goes with it. */
void zpool_destroy(struct zpool *pool);

/* Stores a copy. Returns 0, -E2BIG for data above ZPOOL_MAX_BLOB, -ENOSPC when limit or budget are
 * reached, -ENOMEM. */
int zpool_store(struct zpool *pool, u32 node, const struct encoded *encoded, u64 *payload);

/* The blob at a payload, which the caller's page keeps in place. */
const struct blob *zpool_blob(const struct zpool *pool, u64 payload);

/* Another owner for a blob that the caller's page keeps in place. */
void zpool_set_owner(struct zpool *pool, u64 payload, struct page_owner owner);

/* Forgets a blob; a slab left empty goes back to the host. Returns the bytes of its slot. */
u32 zpool_free(struct zpool *pool, u64 payload);

/*
 * Lists the blobs of the slab filled longest ago, at most SLAB_MAX_SLOTS, and makes it the youngest,
 * so that the next call, by whatever thread, finds another. A hint: by the time the caller looks,
 * they may have moved. Returns how many; 0 when the pool is empty.
 */
u32 zpool_coldest(struct zpool *pool, struct zpool_item *items);

void zpool_stats(struct zpool *pool, struct zpool_stats *stats);

/* Memory of the slabs that were taken for that node: its part of used_bytes. */
u64 zpool_node_bytes(const struct zpool *pool, u32 node);

/* For compaction: the class and slab of a place, and back. */
u64 zpool_payload(u32 node, u64 slab, u32 slot);
u8 *zpool_slot(const struct zpool *pool, u32 node, const struct zslab *slab, u32 slot);

#endif
