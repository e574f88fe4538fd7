/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader: brings blobs back from the swap file, many at once, without a thread waiting for each.
 * Places of one load that lie close together are read at one go: pages that left together usually do.
 */
#ifndef SWAP_READER_H
#define SWAP_READER_H

#include "mem/source.h"
#include "swap/swapfile.h"

struct reader;
struct budget;

/* Returns 0, or -errno with the reason logged. */
int reader_create(struct swapfile *file, struct budget *budget, struct reader **reader);

/* Waits for the loads under way. */
void reader_destroy(struct reader *reader);

#define READER_DEPTH_MAX 64U

/* So many reads are under way at once, at most, if there are as many buffers (ring.h): 1 to READER_DEPTH_MAX, which is what it
 * begins with. From any thread; those under way are not waited for. */
void reader_set_depth(struct reader *reader, u32 depth);
u32 reader_depth(struct reader *reader);

/* As page_source_ops.load, with places as payloads. done() is called by the reader's thread. */
int reader_load(struct reader *reader, struct page_load *load);

#endif
