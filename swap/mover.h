/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving stored pages to a new place in the swap file, for write-back (from the pool) and the cleaner
 * (from a sparse extent). A mover is a batch on its way: its pages are held from mover_add() until
 * mover_finish(), so a guest that wants one of them waits that long: a batch is one segment's worth.
 *
 * Several movers in turn keep the device busy: fill one while the others are written.
 */
#ifndef SWAP_MOVER_H
#define SWAP_MOVER_H

#include <stdatomic.h>

#include "mem/page.h"
#include "swap/blob.h"
#include "swap/owner.h"

struct writer;
struct swapfile;
struct zpool;

#define MOVER_PAGES 256U
/* A batch is full at that many bytes: about an extent. */
#define MOVER_BYTES (240 * KiB)

/* Where pages move from and to; pool may be NULL. */
struct mover_stores {
	struct owners owners;
	struct writer *writer;
	struct swapfile *file;
	struct zpool *pool;
	_Atomic u64 *left_pool; /* pages that went from the pool are counted here; NULL: nowhere */
};

struct mover {
	const struct mover_stores *stores;
	bool from_reserve; /* as in swapfile_take() */
	u32 count;
	u64 bytes;
	u64 first, last; /* segments */
	struct {
		struct page_owner owner;
		struct page_word from, to;
	} pages[MOVER_PAGES];
};

void mover_init(struct mover *mover, const struct mover_stores *stores, bool from_reserve);

/*
 * Takes along the blob at `from`. `blob` is a copy of it; NULL when it is in the pool, where it can be
 * read only once it is held. Returns 0; -ESTALE or -EBUSY when it cannot be
 * held, and is left alone; other -errno of writer_append(): it stays where it was.
 */
int mover_add(struct mover *mover, struct page_owner owner, struct page_word from,
	      const struct blob *blob);

bool mover_full(const struct mover *mover);

/*
 * Waits for the writes and lets the pages go: to their new place, and the old one is freed; or, when
 * a write failed, back to the old. The mover is empty again. Adds to *freed the bytes freed in the
 * pool. Returns 0 or the write's -errno.
 */
int mover_finish(struct mover *mover, u64 *freed);

#endif
