/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's userfaultfd reports, and what is done about it. The kind of event only says what the
 * kernel found; what the page needs is decided by its descriptor.
 */
#ifndef MEM_FAULT_H
#define MEM_FAULT_H

#include "mem/space.h"

struct uffd_msg;

/* Most events read at once. */
#define FAULT_BATCH 64U

/*
 * Reads what the userfaultfd has (which must be non-blocking) and resolves it, sorted and without
 * doubles. Returns the number of events, 0 when there were none, or -errno: -ESRCH or -EIO when the
 * descriptor has no more to say. To be called by one thread per space.
 */
int fault_serve(struct space *space);

/* Goes on with the newest stream's readahead, one fill, when there is room. Returns false when there
 * is nothing to bring in. Same thread. */
bool fault_read_ahead(struct space *space);

#endif
