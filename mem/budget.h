/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget: how many bytes of host memory everything together may use. Guest pages, pool and
 * metadata take from it *before* they allocate and give back *after* they free, so `used` is never
 * below the truth.
 *
 * Three watermarks, as in the kernel's page allocator: below `low` free bytes the background
 * reclaim is woken and works until `high` are free; the last `min` bytes are a reserve for reclaim, because storing a
 * page takes memory before it frees any. Whoever shares pages may have half of it: that too takes a frame before it
 * frees one. Above those lies a second reserve, for guests that write to shared pages (mem/breaks.h): 0 while nobody does.
 *
 * What is charged because it cannot be refused (a guest's data, metadata) has the last eighth of reclaim's reserve to
 * itself. If that is little, it uses up more, as does a limit that is lowered; reclaim may then still go a quarter of a
 * MiB beyond where large charges have led: a pool that could not take its first page would store nothing and free
 * nothing.
 */
#ifndef MEM_BUDGET_H
#define MEM_BUDGET_H

#include <stdatomic.h>

#include "lib/types.h"

struct budget {
	_Atomic u64 limit;	    /* bytes */
	_Atomic u64 min, low, high; /* low and high: with the reserve for breaks */
	_Atomic u64 breaks;	    /* that reserve */
	_Atomic u64 used;
	_Atomic u64 charged_to; /* what large charges and lower limits led `used` to, or it has come down to since */
	_Atomic u64 peak;
	/* Called, from any thread and with any lock held, when free bytes fall below low. Must not
	 * block. May be NULL. */
	void (*pressed)(struct budget *budget);
};

enum budget_class {
	BUDGET_NORMAL,	/* leaves the reserves alone */
	BUDGET_RECLAIM, /* may use both but an eighth, whatever was charged: it is about to free more than it takes */
	BUDGET_SHARE,	/* may use half of reclaim's: it frees as much as it takes, and tries again if refused */
	BUDGET_BREAK,	/* may use that for breaks */
};

/* Sets the limit and watermarks in proportion: min 1/64, low 1/32, high 3/64 of the limit, within
 * [1, 64] MiB for min. */
void budget_init(struct budget *budget, u64 limit);

/* Another limit, with its watermarks, while all of it is in use. What is used above a lower one stays
 * used: whoever wants nobody to run dry lowers it no faster than reclaim follows. One caller at a time. */
void budget_set_limit(struct budget *budget, u64 limit);

/* Another reserve for breaks, from any thread. */
void budget_set_breaks(struct budget *budget, u64 bytes);

/* Takes `bytes`; false, and nothing taken, if that is more than there is. Lock-free. */
bool budget_take(struct budget *budget, u64 bytes, enum budget_class class);

/* Takes whatever the limit says: for metadata that exists already. */
void budget_charge(struct budget *budget, u64 bytes);

void budget_give(struct budget *budget, u64 bytes);

/* Bytes left below the limit; 0 when overdrawn. */
u64 budget_free(const struct budget *budget);

/* Bytes left beyond a quarter of the limit: while there are any memory is plenty, and what cannot be evicted is not missed. */
u64 budget_spare(const struct budget *budget);

#endif
