/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that was never touched comes a region at a time, as one huge page: a guest that fills its
 * memory then faults once in 512 pages, and runs at native speed from there on.
 */
#ifndef MEM_POPULATE_H
#define MEM_POPULATE_H

#include "mem/space.h"

/*
 * Gives the region of page `fault` its memory and hands it to the guest WHOLE. Only for a region that
 * is all zero, with nothing resident, while there is room. Returns false, and has done nothing, when
 * that is not so. `began` is when the fault was read, for its latency. Takes the region's lock.
 */
bool populate_region(struct space *space, u64 fault, u64 began);

#endif
