/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small pages in the place of large ones.
 *
 * A part of a large page cannot just be punched out of the RAM file. When somebody has a hold on that page, as KVM has
 * while it maps it, the kernel cannot split it; then it makes the part zero and keeps it. The guest, for whom the kernel
 * maps what is in the file, would read zeroes where its content was, and nobody would know. So a region in large pages
 * that is to lose a part is taken out of the file whole, which always works, and what stays is put back.
 *
 * The same is done where many small pages leave that are no neighbours: it interrupts a guest that runs once, a hole for each
 * of them every time.
 */
#ifndef MEM_SPLIT_H
#define MEM_SPLIT_H

#include "mem/space.h"

/*
 * Takes an ARMED region out of the RAM file, but for the pages whose bit is set: those are there again, in small pages,
 * unmapped, and those that are not busy can be written. `held`: the pages the caller has busy, a bit each. Copies up to
 * 2 MiB: some 0.7 ms, in which the guest waits if it touches the region. Region's lock held. Returns 0; or -EBUSY, others
 * work on pages here; -ENOMEM; or why the file cannot be read: nothing has changed then. A page that cannot be put
 * back is lost, and stops its guest.
 */
int split_region(struct space *space, u64 index, const u64 stay[REGION_PAGES / 64],
		 const u64 held[REGION_PAGES / 64]);

/* The same, and all stays. */
int split_all(struct space *space, u64 index);

/*
 * Punches pages of one region, that nobody shall find again, out of the RAM file; splits the region when the kernel cannot
 * split a large page around them, as it never can while a guest keeps using the rest of it. Region's lock held. False:
 * others work on pages here, and some of these are still in the file, zeroed (region_has_rest()).
 */
bool split_punch(struct space *space, u64 first, u64 count);

/* Gives back the memory of the buffer that regions are split with, when none was since the last time. Never waits. */
void split_trim(struct memory *memory);

#endif
