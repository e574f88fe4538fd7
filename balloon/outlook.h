/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a guest's memory grows. A balloon takes small steps, and begins with what its guest has never
 * touched: where a guest fills its memory quickly, one that waits for the host to be short closes too late,
 * and the difference is swapped. So the policy looks ahead by the time the balloon needs to close.
 */
#ifndef BALLOON_OUTLOOK_H
#define BALLOON_OUTLOOK_H

#include "lib/types.h"

#define OUTLOOK_LEAD_MAX_MS 3000U /* nobody knows what is further away */

struct outlook {
	u64 resident; /* bytes at the last look */
	u64 at_ms;    /* when that was; 0: never */
	u64 step_ms;  /* between the last two looks */
	u64 per_s;    /* bytes by which it grows a second, lately; 0 when it shrinks */
};

/* A look: it has so much now. Any clock that only grows. */
void outlook_look(struct outlook *outlook, u64 resident, u64 now_ms);

/* Bytes by which it will have grown when its balloon has taken so many steps, one a look. */
u64 outlook_growth(const struct outlook *outlook, u64 steps);

#endif
