/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: from what is known of the host and its guests to how much memory each guest should have,
 * and what is done about it now. Pure functions: no clock, no I/O, no memory of their own; what has to be
 * remembered from one step to the next is in the structs the caller keeps.
 *
 * What a guest is entitled to is its goal (balloon/shares.h, balloon/misses.h). Where it has more, memory is asked
 * back in small steps from its balloon, as long as that does not hurt it (balloon/stoploss.h), and ahead of need
 * when memory fills up quickly (balloon/outlook.h); what the balloon does not give is swapped out.
 * docs/policy.md tells the whole story.
 */
#ifndef BALLOON_TARGET_H
#define BALLOON_TARGET_H

#include "balloon/coldness.h"
#include "balloon/host_state.h"
#include "balloon/misses.h"
#include "balloon/outlook.h"
#include "balloon/stoploss.h"

#define TARGET_STEP_MOST  20U  /* a step is at most this part of a guest: 5 % */
#define TARGET_STEP_LEAST 400U /* ... and at least this one: 0.25 % */
#define TARGET_REST	  50U /* so close to its goal nothing is asked: estimates are not so exact */

/* What the host has. Bytes. */
struct target_host {
	u64 budget;
	u64 overhead; /* of the budget, what is no guest's: pool, metadata, data */
	u64 free;
	struct host_levels levels;
	u32 tax_pct; /* on idle memory */
	struct coldness_goal coldness;
	u64 now_ms; /* any clock that only grows; not 0 */
};

/* What a guest is. Bytes unless said otherwise. min <= max <= memory; limit >= min. */
struct target_guest {
	u64 memory, min, max, limit;
	u32 shares;
	u64 resident;  /* in RAM */
	u64 stored;    /* in the pool or on disk */
	u64 active;    /* estimate of what it uses */
	u64 cold;      /* resident, and not touched for as long as its threshold says */
	bool balloon;  /* there is a driver that answers */
	u64 ballooned; /* what it has given up: the truth, not the wish */
	u64 refaulted; /* total, pages */
	u64 missed;    /* total: faults for which pages came back, those it did not ask for not counted */
	u64 pinned;    /* resident, and more than may be stored of it: only a balloon can take that */
	struct guest_signs signs;
};

enum target_action { TARGET_HOLD, TARGET_INFLATE, TARGET_DEFLATE };

/* Why the balloon is told what it is told. */
enum target_reason {
	TARGET_FITS,	   /* it has no more than its goal */
	TARGET_NO_NEED,	   /* it has more, but the host has enough */
	TARGET_NO_BALLOON, /* it has more, and no driver to ask */
	TARGET_SMALL,	   /* less than a step would change */
	TARGET_EXCESS,	   /* it has more than its goal, and the host needs it */
	TARGET_ABOVE_MAX,  /* it has more than its max, whatever the host has */
	TARGET_STOP_LOSS,  /* it has more, but giving it hurts */
	TARGET_STUCK,	   /* it has more, but its balloon does not follow */
	TARGET_WANTED,	   /* it may have more, and the host has it */
	TARGET_NONE_FREE,  /* it may have more, but the host has not got it yet */
	TARGET_AHEAD,	   /* it will soon have more than its goal, and the host will need it */
	TARGET_REASONS
};

/* What is kept of a guest from step to step. All zero at first. */
struct target_memory {
	struct stoploss stoploss;
	struct coldness coldness;
	struct outlook outlook;
	struct misses misses;
	u64 balloon;   /* what the balloon was last told; */
	u64 ballooned; /* ... and where it was then */
	u64 inflating_ms; /* since when it has been told to inflate, with pauses of a few seconds; 0: it has not */
	u64 inflated_ms; /* when it last was */
	u32 stuck;	 /* steps in a row in which it did not follow */
};

struct target_decision {
	u64 goal;    /* bytes it should have */
	u64 balloon; /* target of its balloon, bytes */
	u64 keep;    /* evict it down to this, bytes, when others need memory; at most its goal */
	u64 swap;    /* bytes above the goal that its balloon will not give now */
	u64 cold_ms; /* the threshold of age */
	bool block;  /* its faults have to wait */
	enum target_action action;
	enum target_reason reason;
};

/*
 * One step for all guests. decisions[i] is about guests[i], and memories[i] goes with it. Returns the host's
 * state after `state`. Nothing is below its min in any decision. With more guests than TARGET_GUESTS_MAX
 * the rest keep what they have.
 */
#define TARGET_GUESTS_MAX 1024U
enum host_state target_step(enum host_state state, const struct target_host *host,
			    const struct target_guest *guests, struct target_memory *memories,
			    u32 count, struct target_decision *decisions);

/* For the log. */
const char *target_action_name(enum target_action action);
const char *target_reason_text(enum target_reason reason);

#endif
