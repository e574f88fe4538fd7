/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When is memory cold enough to be taken ahead of need? When it has not been touched for a while, and
 * for how long follows from what comes back: at most a small part of the working set a minute should.
 * (Lagar-Cavilla et al., ASPLOS 2019, sections 4.2 and 4.3: 120 seconds, 0.2 % a minute.)
 */
#ifndef BALLOON_COLDNESS_H
#define BALLOON_COLDNESS_H

#include "lib/types.h"

#define COLDNESS_AGE_MAX_S (8 * 3600U)

struct coldness_goal {
	u32 age_s;		 /* never younger than this */
	u32 promotion_per_mille; /* of a per cent: 200 is 0.2 % of the working set a minute */
};

struct coldness {
	u64 age_ms;    /* the threshold now; 0: it has not begun */
	u64 minute_ms; /* when the present minute began */
	u64 refaulted; /* the total then */
	bool was_short; /* in the present minute */
	u32 promotion; /* measured in the last minute, per mille of a per cent */
};

/*
 * Called with the guest's refaulted pages in all and its working set in pages, at any time; once a minute
 * it judges. Too much came back: the threshold doubles. Less than half of what may: it falls by an eighth,
 * down to the goal's. A minute in which memory was short says nothing: what was taken then was not
 * taken for being cold. Returns the threshold in milliseconds.
 */
u64 coldness_follow(struct coldness *coldness, const struct coldness_goal *goal, u64 now_ms,
		    u64 refaulted, u64 working_set, bool is_short);

#endif
