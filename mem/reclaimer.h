/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reclaimer gives memory back to the budget: by eviction, write-back, later by balloons and
 * sharing. The reclaim policy asks each in turn how much it could free and tells one to do so.
 */
#ifndef MEM_RECLAIMER_H
#define MEM_RECLAIMER_H

#include "lib/types.h"

struct reclaimer;

struct reclaimer_ops {
	const char *name;

	/* Bytes this reclaimer could free if it did all it can; cheap, an estimate. No lock held. */
	u64 (*count)(struct reclaimer *reclaimer);

	/*
	 * Frees about `bytes` and returns how many it freed, 0 when there is nothing to take just
	 * now, or -errno (-ENOSPC: the place it stores to is full; -EIO). Called with no lock held by
	 * the background thread and by threads that resolve a fault, several at once; may wait for
	 * I/O.
	 */
	s64 (*scan)(struct reclaimer *reclaimer, u64 bytes);

	/* Bytes that it should free by and by though nobody asks for them; cheap. Only the background thread
	 * does so. May be NULL: never. */
	u64 (*due)(struct reclaimer *reclaimer);

	/* Nobody wants memory just now. Only the background thread says so. Returns whether it wants to be told again
	 * soon. May be NULL. */
	bool (*rest)(struct reclaimer *reclaimer);
};

struct reclaimer {
	const struct reclaimer_ops *ops;
};

#endif
