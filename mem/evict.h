/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction: from the guest's memory to wherever its content is kept.
 *
 *	hold -> write-protect -> (unlock) read, recognise or store -> (lock) commit -> punch -> release
 *
 * A guest that touches a page meanwhile keeps it: the touch traps, marks the page as waited for, and
 * the commit leaves such a page where it is. Without the write-protect step a write could fall between
 * reading and punching, and be lost.
 */
#ifndef MEM_EVICT_H
#define MEM_EVICT_H

#include "mem/space.h"

/*
 * Evicts the resident pages of [first, first + count), all in one region, whose bit in `groups` (of the
 * region) is set. Returns how many pages were freed, or -errno if none was: -ENOSPC, the first
 * store is full; -E2BIG, no store has room for content like this, or the guest is at its
 * swap_max; -EAGAIN, all were in use; -ESRCH, the guest has failed; others from the stores. Called with
 * no lock held and a reference to the space.
 */
s64 evict_pages(struct space *space, u64 first, u64 count, u32 groups);

/*
 * The same for the pages of one region whose bit is set, most of which the VMM has not mapped: those that it has, and
 * that lie between them, take no notice. `first` is the region's first page. *full: the first store was full before all
 * were offered to it, though some may have been freed.
 */
s64 evict_unmapped(struct space *space, u64 first, const u64 pages[REGION_PAGES / 64], bool *full);

/*
 * Moves resident pages of one region to other stores than memory's, by the same steps: how memory is
 * shared. `first` is the region's first page; `pages` says which, a bit each. Pages that repeat one word
 * go to ZERO and SAME as ever; what no store takes stays. Returns as evict_pages(), and in *filled how
 * many repeated a word. Such pages are no evictions: they count in no refault distance.
 */
s64 evict_pages_to(struct space *space, u64 first, const u64 pages[REGION_PAGES / 64],
		   struct page_source *const *stores, u32 *filled);

/* Whether the page repeats one 32-bit word. */
bool evict_same_filled(const u8 *page);

/* For the test that shows what the write-protect step is for: leaves it out. */
extern bool evict_test_skip_protect;

#endif
