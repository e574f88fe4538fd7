/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reclaim policy: one background thread that works ahead of need, between the budget's
 * watermarks, and the direct way for a fault that found no frame all the same.
 *
 * Reclaimers are asked in order. When one has no room for what it takes (-ENOSPC: the pool is full),
 * the next makes room (write-back) and the first goes on.
 */
#ifndef MEM_RECLAIM_H
#define MEM_RECLAIM_H

#include "mem/memory.h"
#include "mem/reclaimer.h"

#define RECLAIMERS_MAX 4

struct reclaim;

/* Starts the thread and sets the memory's hooks (budget.pressed, direct_reclaim). `reclaimers` ends
 * with NULL and stays the caller's. Every tick_ms the thread also tidies: regions that became whole
 * again get huge pages. Returns 0 or -errno. */
int reclaim_create(struct memory *memory, struct reclaimer *const *reclaimers, u32 tick_ms,
		   struct reclaim **reclaim);

/* For so long faults may live on next to nothing before one of them is told that there is no memory:
 * five seconds; tests take less. */
extern u64 reclaim_test_patience_ns;

/* Another tick, from any thread. */
void reclaim_set_tick(struct reclaim *reclaim, u32 tick_ms);

/*
 * Evicts at least `bytes` of this one guest, by hand: regions in turn, from where the last call ended,
 * whatever is in use just now left alone. Stops early at deadline_ns, after one time around, and
 * when nothing can be stored. Returns how many bytes were freed. Any thread, with a reference to the
 * space and no lock held; several calls at once share the work.
 */
struct space;
u64 reclaim_from(struct reclaim *reclaim, struct space *space, u64 bytes, u64 deadline_ns);

/* Stops the thread; the hooks are gone. No faults may be under way. */
void reclaim_destroy(struct reclaim *reclaim);

#endif
