/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A size class: the slabs that are cut into slots of one size, and which of them have room.
 *
 *	by age    every slab of the class, oldest first. A blob that is loaded leaves the pool, so
 *	          what is still in an old slab is what nobody wanted: order of filling is order of
 *	          use, without a stamp on each blob.
 *	current   the slab new blobs go to, until it is full. The next is the emptiest partial one:
 *	          few old blobs pass for young by sitting among new ones.
 *	partial   four lists, by quarters of fullness: compaction empties the first into the last.
 */
#ifndef SWAP_ZCLASS_H
#define SWAP_ZCLASS_H

#include <pthread.h>

#include "swap/zslab.h"

#define ZCLASS_QUARTERS 4

/* zslab.fill: a quarter, or: */
enum { SLAB_FULL = ZCLASS_QUARTERS, SLAB_CURRENT, SLAB_DRAINING };

/* All members, and the slabs on its lists, under the lock. Taken alone, or within a region's lock. */
struct zclass {
	_Alignas(64) pthread_mutex_t lock;
	u32 slot_bytes;
	u32 slots; /* per slab */
	struct zslab *current;
	struct zslab_list by_age;
	struct zslab_list partial[ZCLASS_QUARTERS];
	u64 slabs;
	u64 used;	/* slots, in all slabs */
	u64 blob_bytes; /* in them, without headers */
};

void zclass_init(struct zclass *class, u32 slots);

/* All below: with the lock held. */

/* A slab with room for one more blob, or NULL: then bring a fresh one. `now`: the pool's clock, for
 * the age of a slab that is filled from now on. */
struct zslab *zclass_roomy(struct zclass *class, u64 now);

/* The fullest slab with room, for compaction; NULL when there is none. */
struct zslab *zclass_fullest(struct zclass *class);

/* The emptiest partial slab, or NULL. */
struct zslab *zclass_emptiest(struct zclass *class);

/* Adds an empty slab of zarena_take() to a class without room; it is filled next. */
void zclass_add(struct zclass *class, struct zslab *slab, u64 now);

/* Takes a slab off all lists: with no slot taken, for zarena_put(). */
void zclass_remove(struct zclass *class, struct zslab *slab);

/* Takes a free slot of a slab that has one; or frees a taken one. */
u32 zclass_take_slot(struct zclass *class, struct zslab *slab);
void zclass_free_slot(struct zclass *class, struct zslab *slab, u32 slot);

/* Nothing is placed in the slab until it is released again. */
void zclass_drain(struct zclass *class, struct zslab *slab);
void zclass_release(struct zclass *class, struct zslab *slab);

/* Makes a slab the youngest. */
void zclass_rotate(struct zclass *class, struct zslab *slab, u64 now);

/* Free slots outside the current slab come to more than a slab. */
bool zclass_wasteful(const struct zclass *class);

#endif
