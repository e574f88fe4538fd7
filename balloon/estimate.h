/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a guest's memory is active, from random samples of it: two moving averages, one that
 * follows quickly and one that follows slowly, of which the greater counts. So growing use is believed at
 * once, and a guest that has become idle is believed a little later. (Waldspurger, OSDI 2002, 5.3.)
 */
#ifndef BALLOON_ESTIMATE_H
#define BALLOON_ESTIMATE_H

#include "lib/types.h"

#define ESTIMATE_ONE 65536U /* all of it */

struct estimate {
	u32 fast, slow; /* of ESTIMATE_ONE */
	bool primed;	/* there was a sample */
};

/* A look at `looked` pages, `touched` of which were in use since the last. None: nothing was learnt. */
void estimate_add(struct estimate *estimate, u32 touched, u32 looked);

/* So much of `bytes` is active; all of them as long as nothing is known. */
u64 estimate_active(const struct estimate *estimate, u64 bytes);

#endif
