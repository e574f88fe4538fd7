/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cold memory, taken ahead of need. A hand goes round each guest's regions, slowly: it unmaps a region, and
 * when it comes by again after the time that makes memory cold, the groups that are still unmapped have not
 * been touched since, and are evicted. So what is cold leaves while the host has plenty, a page at a time
 * as it were, and is not in the way when memory is wanted. How old is cold follows from what comes back
 * (balloon/coldness.h; Lagar-Cavilla et al., ASPLOS 2019).
 *
 * An idle guest costs nothing; of one that uses its memory each region is unmapped once in that time.
 */
#ifndef MEM_COLD_H
#define MEM_COLD_H

#include "lib/types.h"

struct memory;
struct space;

/* Of the thread that walks. */
struct cold_hand {
	u64 moved_ns; /* when it last moved; 0: never */
	u64 region;   /* where it is */
};

/*
 * Moves the hands of all guests as far as is due, by the thresholds of age in their entitlements. Returns the
 * bytes that were freed; or -ENOSPC, the first store was full and nothing was. One thread, no lock held.
 */
s64 cold_walk(struct memory *memory, u64 now_ns);

#endif
