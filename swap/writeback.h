/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write-back: the reclaimer that empties the compressed pool. It compacts first, which costs only
 * copying; then moves the coldest blobs to the swap file, still compressed, each together with what
 * the pool has of its group of neighbours: they left together and will come back together, by one
 * read. Without a swap file it only compacts.
 */
#ifndef SWAP_WRITEBACK_H
#define SWAP_WRITEBACK_H

#include "mem/reclaimer.h"
#include "swap/mover.h"

struct cleaner;

struct writeback {
	struct reclaimer reclaimer;
	struct mover_stores stores; /* file and writer NULL: no swap file */
	struct cleaner *cleaner;
	_Atomic u64 pages; /* written back, total; a blob that several share counts once */
};

/* With stores and cleaner set by the caller, who keeps them alive. */
void writeback_init(struct writeback *writeback);

#endif
