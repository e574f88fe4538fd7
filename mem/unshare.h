/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest writes to a page in whose place its VMM has a shared frame mapped. The write waits for this,
 * then the kernel copies the frame for it, privately: no other guest sees it, and the frame stays as it is.
 */
#ifndef MEM_UNSHARE_H
#define MEM_UNSHARE_H

#include "mem/space.h"

/*
 * Takes memory for the copy and lets the write go on. Pages that follow in the group go with it when the
 * page before was written too: who rewrites memory in order pays a fault a group. A guest that
 * does so faster than its pages can be brought home (remap.h) waits here, because what is away from home
 * cannot be evicted. `began` is when the fault was read. By the handler thread, no lock held.
 */
void unshare_for_write(struct space *space, u64 index, u64 began);

/* How many private pages all guests may have: a 32nd of the budget, and as much as is free beyond a quarter of it, but an eighth
 * at most. */
u64 unshare_room(const struct memory *memory);

/* Whether a guest's private pages have reached its share of what may be away from home. */
bool unshare_must_wait(const struct space *space);

#endif
