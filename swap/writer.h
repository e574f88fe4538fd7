/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: packs blobs, in the order in which they come, into large aligned writes to the swap
 * file, several under way at once. All threads append to the same open segment.
 *
 * A segment is what one write carries: an extent when nobody is in a hurry, less when somebody
 * waits; the next one then goes on in the same extent, at the next block. Segments are numbered in
 * the order in which they are begun, and a caller remembers the number of the first and last of
 * those that its blobs went into.
 */
#ifndef SWAP_WRITER_H
#define SWAP_WRITER_H

#include "swap/swapfile.h"

struct writer;
struct budget;

/* Returns 0, or -errno with the reason logged. */
int writer_create(struct swapfile *file, struct budget *budget, struct writer **writer);
void writer_destroy(struct writer *writer);

/*
 * Appends a blob and returns its place, which is held (swapfile_release() gives it back), and the
 * number of its segment. The blob can be read once writer_wait() on that number returned 0. May wait
 * for a buffer. -ENOSPC when the file is full; from_reserve as in swapfile_take().
 */
int writer_append(struct writer *writer, const struct encoded *blob, bool from_reserve, u64 *place,
		  u64 *segment);

/* Number of the segment begun last, open or not. */
u64 writer_last_segment(struct writer *writer);

/*
 * Waits until all segments up to `last` are written, starting the open one if need be. Returns 0 when
 * none from `first` on has failed; else the error. It never misses one, but may report one after
 * `last`: errors are rare, and the pages are still where they were.
 */
int writer_wait(struct writer *writer, u64 first, u64 last);

#endif
