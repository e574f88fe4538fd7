/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a guest's memory is in use, by looking at a few places of it, chosen at random: they are
 * unmapped, and the next look finds out which have been touched since, and for how long the others have
 * not. (Waldspurger, OSDI 2002, section 5.3.) Whoever touches such a place pays one minor fault; whoever
 * is idle pays nothing.
 *
 * A place is what one fault maps again: a region where that is WHOLE, else a group of 16 pages.
 */
#ifndef MEM_SAMPLER_H
#define MEM_SAMPLER_H

#include "mem/space.h"

#define SAMPLER_PLACES	   32U	/* at least, */
#define SAMPLER_PLACES_MAX 256U /* and at most: as many as one request to a VMM can unmap */
#define SAMPLER_AGES	   14U	/* the last: 4096 s and more */

struct sampler;

/* How to look. */
struct sampler_look {
	u64 now_ns;
	u64 window_ns; /* who was in use within that time is active: some looks' time */
	u64 cold_ns;   /* who was not within that time is cold */
	u32 percent;   /* so many places, in per cent of the guest's regions, within the bounds above */
};

/* What a look saw. */
struct sampler_view {
	u32 looked;  /* places known for as long as the window */
	u32 touched; /* ... and in use within it */
	u32 aged;    /* places known for as long as was asked */
	u32 cold;    /* ... and not touched in that time */
};

/* Given back by free(). NULL: no memory. */
struct sampler *sampler_create(u64 seed);

/*
 * One look: counts, asks the VMM to unmap what was touched, and exchanges some places for others. Always
 * about the same space, by one thread at a time, with a reference to it. Returns 0, or -ENOTSUP when this VMM cannot be
 * sampled, -EBUSY when it still has to answer the last unmapping (look again later); *view is empty then.
 */
int sampler_look(struct sampler *sampler, struct space *space, const struct sampler_look *look,
		 struct sampler_view *view);

/* For how long its places have not been seen in use, as of that time: ages[i] of them for less than 2^i
 * seconds, and not for less than half of that. Returns how many places there are. */
u32 sampler_ages(const struct sampler *sampler, u64 now_ns, u32 ages[SAMPLER_AGES]);

/* Memory in the places that are watched now. Bytes. */
u64 sampler_bytes(const struct sampler *sampler);

#endif
