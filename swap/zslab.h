/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slabs: the 64 KiB pieces in which the compressed pool takes memory from the host and gives it back.
 * An arena reserves address space for all slabs a NUMA node may ever hold; a slab has memory behind
 * it only between zarena_take() and zarena_put().
 */
#ifndef SWAP_ZSLAB_H
#define SWAP_ZSLAB_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "lib/types.h"

#define SLAB_BYTES (64 * KiB)
/* Empty slabs that an arena keeps with their memory while the pool is nearly full, as many as
 * write-back makes room by at a time: it then empties slabs as eviction fills others, and giving 16
 * pages back only to have them zeroed again is a third of its work. */
#define SLAB_READY_MAX 64U
/* With room in the pool slabs go back in batches of so many; no more than a sixteenth of the pool is
 * kept for it. */
#define SLAB_BATCH     16U
#define SLAB_MAX_SLOTS 512U

struct budget;

struct zslab {
	TAILQ_ENTRY(zslab) by_age;  /* in its class: every slab, oldest first */
	TAILQ_ENTRY(zslab) by_fill; /* in one list of partial slabs; or among the free */
	u64 age;		    /* when it was last filled, by the pool's clock */
	u16 used;		    /* slots */
	u8 class;
	u8 fill;			/* which list of partial slabs; or a SLAB_* */
	u64 slots[SLAB_MAX_SLOTS / 64]; /* a bit each: taken */
};

TAILQ_HEAD(zslab_list, zslab);

/* What all arenas of a pool draw on together. */
struct zlimit {
	struct budget *budget; /* may be NULL: no budget */
	u64 reserved;	       /* slabs an arena has address space for */
	_Atomic u64 max_slabs; /* the limit now, at most that */
	_Atomic u64 slabs;     /* with memory behind them */
	_Atomic u32 accept_percent; /* of max_slabs: once full, nothing new until there are no more; 100: at once */
	_Atomic bool full;	    /* the limit was reached, and the slabs have not been so few since */
};

struct zarena {
	struct zlimit *limit;
	u8 *base;
	struct zslab *slabs;
	u64 count;
	_Atomic u64 held; /* slabs with memory behind them: this arena's part of limit->slabs */
	u64 fresh;	  /* slabs from here on were never used */
	struct zslab_list free;
	struct zslab_list ready; /* empty, with memory, and counted */
	u32 ready_count;
	int self;	      /* pidfd of this process */
	pthread_mutex_t lock; /* fresh and the lists; innermost */
};

/* Reserves address space for limit->reserved, memory to come from `node` (< 0, or there is none
 * such: anywhere). The array of struct zslab is charged to the budget. Returns 0 or -errno. */
int zarena_create(struct zarena *arena, struct zlimit *limit, int node);
void zarena_destroy(struct zarena *arena);

/* A slab with memory behind it, contents undefined, used = 0, no slot taken. -ENOSPC when the limit is
 * reached or the budget refuses, -ENOMEM when the kernel does. Waits for the kernel to find 16 pages:
 * hold no lock. */
int zarena_take(struct zarena *arena, struct zslab **slab);

/* Gives the memory of a slab back to kernel and budget, or keeps it for the next take or until there is a
 * batch to give back. */
void zarena_put(struct zarena *arena, struct zslab *slab);

static inline u8 *zarena_memory(const struct zarena *arena, const struct zslab *slab)
{
	return arena->base + (u64)(slab - arena->slabs) * SLAB_BYTES;
}

#endif
