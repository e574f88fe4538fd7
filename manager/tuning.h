/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be changed while a host runs: the knobs of the policy, and what each guest is promised. The
 * configuration file sets them first; `manager_set_*()` later, each time all of a struct: get it, change
 * what you like, set it. What does not hold together is refused as a whole, with a reason.
 *
 * The setters and getters may be called from any thread.
 */
#ifndef MANAGER_TUNING_H
#define MANAGER_TUNING_H

#include "balloon/host_state.h"
#include "lib/types.h"

struct manager;

struct policy_tuning {
	bool active;	  /* false: nobody has a goal, balloons stay as they are; limits hold */
	bool dry_run;	  /* decide and log, and do nothing */
	u32 interval_ms;  /* between two steps: 10 to 60000 */
	u32 idle_tax_pct; /* on idle memory: 0 to 99 */
	u32 state_pct[HOST_STATES]; /* falling; of min_free */
	u64 min_free;		    /* bytes; 0: a bit less than a tenth of the budget */
	u32 sample_pct;		    /* of a guest's regions: so many places of it are watched; 0 to 100 */
	u32 cold_age_s;		    /* memory younger than that is never cold: 1 to 86400 */
	bool turns; /* guests that thrash take turns (mem/turns.h) */
	bool reclaim_cold; /* cold memory is taken while the host has enough, too */
	u32 promotion_rate_target; /* thousandths of a per cent of the working set a minute: 1 to 100000 */
};

struct guest_tuning {
	u64 min;    /* bytes of memory that are its own whatever happens */
	u64 max;    /* bytes it should not go beyond; 0: all of its memory */
	u64 limit;  /* bytes of host memory it never gets beyond; 0: none */
	u64 swap_max; /* bytes of it that may be stored, in pool and swap file; 0: any */
	u32 shares; /* 1 to 1000000; 0: ten for each MiB of its memory */
};

void policy_tuning_defaults(struct policy_tuning *tuning);

/* All 0 or -EINVAL with what is wrong. A guest's bounds are checked for a guest of so many bytes. */
int policy_tuning_check(const struct policy_tuning *tuning, char *why, u32 size);
int guest_tuning_check(const struct guest_tuning *tuning, u64 memory, char *why, u32 size);

/* The least free memory that the levels are percentages of: so that reclaim, which begins at the budget's low
 * watermark, begins in `hard`. */
u64 policy_min_free(const struct policy_tuning *tuning, u64 budget);

void manager_get_policy(struct manager *manager, struct policy_tuning *tuning);
int manager_set_policy(struct manager *manager, const struct policy_tuning *tuning, char *why,
		       u32 size);

/* index < guest_count. -EINVAL also when all guests' mins would no longer fit the budget, -ENOENT when there
 * is no such guest. */
int manager_get_guest(struct manager *manager, u32 index, struct guest_tuning *tuning);
int manager_set_guest(struct manager *manager, u32 index, const struct guest_tuning *tuning,
		      char *why, u32 size);

/* The last decisions as lines of text, newest last, each ended by a newline: as many as fit. Returns the
 * length without the NUL. */
u32 manager_decisions(struct manager *manager, char *text, u32 size);

#endif
