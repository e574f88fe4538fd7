/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page source of the state PAGE_DISK: blobs in the swap file. Most come there by write-back; what
 * is stored directly is what the pool is not the place for (it does not compress), or has no room for.
 */
#ifndef SWAP_DISK_H
#define SWAP_DISK_H

#include <pthread.h>
#include <stdatomic.h>

#include "mem/source.h"

struct reader;
struct swapfile;
struct writer;
struct cleaner;

struct disk {
	struct page_source source;
	struct swapfile *file;
	struct writer *writer;
	struct reader *reader;
	struct cleaner *cleaner;
	_Atomic u32 acceleration;
	_Atomic u32 max_blob_bytes; /* what compresses less well is stored raw */
	_Atomic u64 stored;	    /* pages, total */
	pthread_key_t first; /* per thread: number of the first segment since its last flush */
};

/* With file to cleaner, acceleration and max_blob_bytes set by the caller, who keeps them alive. 0 or
 * -errno. */
int disk_init(struct disk *disk);
void disk_exit(struct disk *disk);

#endif
