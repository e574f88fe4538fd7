/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stop-loss: a balloon helps as long as the guest gives what it hardly needs. When its own reclaim begins
 * to hurt, more inflation costs more than the host gains. The guest's statistics tell, where they are
 * fresh; they may be lies, and then the guest keeps a balloon it need not have kept small, and loses
 * memory by eviction instead.
 */
#ifndef BALLOON_STOPLOSS_H
#define BALLOON_STOPLOSS_H

#include "lib/types.h"

#define STOPLOSS_FRESH_MS 5000U /* older statistics say nothing */

/* Totals since the guest started, in the guest's own words; 0 for what it does not tell. */
struct guest_signs {
	u64 age_ms; /* of these figures; UINT64_MAX: there are none */
	u64 major_faults;
	u64 alloc_stalls;
	u64 direct_scans;    /* pages it looked at in direct reclaim */
	u64 direct_reclaims; /* pages it took in direct reclaim */
	u64 refaults;	     /* pages its cache dropped and read again */
};

struct stoploss {
	struct guest_signs before; /* the figures of the last look */
	u64 told_ms;		   /* when the guest had told them; 0: never */
	u64 from_ms;		   /* when it had told those before: it hurt between the two */
	u64 hold_until_ms;	   /* no inflation before */
	u64 hold_ms;		   /* how long the last hold was */
	u64 active;		   /* bytes the guest used when that began */
	bool hurts;		   /* at the last look */
};

/* What else is known of the guest. */
struct stoploss_guest {
	u64 inflating_ms; /* since when its balloon has been told to inflate, again and again; 0: it has not */
	u64 active; /* bytes it uses */
};

/*
 * Looks at the signs. Returns true while inflation has to wait. When all of the time in which it hurt was one
 * of inflation, that is why: for 10 seconds, and twice as long whenever it
 * hurts again right after such a wait, up to 160. When it hurts for other reasons, as long as it does. A
 * guest that uses less than half of what it used then is not the guest that was hurt: its wait is over.
 */
bool stoploss_look(struct stoploss *stoploss, const struct guest_signs *signs, u64 now_ms,
		   const struct stoploss_guest *guest);

#endif
