/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cleaner makes whole extents out of scattered free space, as log-structured file systems do
 * (Rosenblum and Ousterhout, SOSP 1991): it reads the extents with least alive in them and appends
 * what is alive anew. Which blobs those are no table says: their headers do, and the descriptors of
 * the owners named there.
 */
#ifndef SWAP_CLEANER_H
#define SWAP_CLEANER_H

#include <pthread.h>

#include "swap/mover.h"

struct budget;

struct cleaner {
	struct mover_stores stores;
	struct budget *budget;
	u8 *buffer; /* one extent; under the lock, as is the mover */
	struct mover *mover;
	pthread_mutex_t lock; /* held while cleaning: one at a time */
	_Atomic u64 extents;  /* cleaned, total */
};

/* With stores and budget set by the caller, who keeps them alive. 0 or -errno. */
int cleaner_init(struct cleaner *cleaner);
void cleaner_exit(struct cleaner *cleaner);

/* Cleans until there is room for a while; waits for its reads and writes. Hold no lock; pages the
 * caller holds stay. Returns the number of extents emptied, 0 also when another thread is at it. */
u32 cleaner_run(struct cleaner *cleaner);

#endif
