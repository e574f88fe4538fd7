/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where guests want back what was stored. A page that comes back with its neighbours saves their faults, if they are
 * wanted before they leave again; if not, it has cost others their place. So neighbours pay where a page that is
 * missing is wanted more often than missing pages are elsewhere: there they are worth more than what leaves for them.
 *
 * Counted are faults on stored pages, by region, by guest and for the host; a fault that brings a group counts
 * twice, because it stands for others that will not come: more, and a group would go on coming by its own weight. What is known of a region alone says little at first,
 * so its guest's figure weighs in as if PRIOR_FAULTS more had come at that rate (a gamma prior). All is halved whenever half as many pages
 * have left as there are in memory: what was wanted before the last ones left says nothing of the next.
 *
 * Pure: no memory, no locks, no clock.
 */
#ifndef MEM_SOUGHT_H
#define MEM_SOUGHT_H

#include "lib/types.h"

/* Faults of late, as of an epoch. Zero: none. */
struct sought_count {
	u32 faults;
	u32 epoch;
};

struct sought {
	struct sought_count all;
	u32 epoch;
	u64 began;  /* pages that had left when it did */
	u64 stored; /* by all guests */
};

/* So many pages have left in all, so many are in memory and so many are stored. Now and then. */
void sought_advance(struct sought *sought, u64 left, u64 resident, u64 stored);

/* A fault that brings so many pages, in a region of a guest. */
void sought_note(struct sought *sought, struct sought_count *region, struct sought_count *guest,
		 u32 pages);

/* Whether pages of the region, of which so many are not in memory, are wanted more than others. Of its guest's so many
 * are stored; what was never touched counts as missing in a region, which is rated too low then. */
bool sought_here(const struct sought *sought, const struct sought_count *region, u64 region_missing,
		 const struct sought_count *guest, u64 guest_stored);

#endif
