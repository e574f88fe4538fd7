/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy at work: a thread that every interval gathers how the host and its guests are, asks
 * balloon/target.h what to do, and has it done. What concerns eviction and blocking it sets itself, in the
 * guests' entitlements; what a balloon should be it leaves to the thread that serves the guests, which is
 * woken for it.
 *
 * All functions may be called from any thread. Its lock is taken before any of mem/'s.
 */
#ifndef MANAGER_POLICY_H
#define MANAGER_POLICY_H

#include "balloon/target.h"
#include "manager/config.h"
#include "manager/tuning.h"
#include "mem/memory.h"
#include "mem/sampler.h"

struct policy;

/* What the policy thinks of a guest. Bytes. */
struct policy_guest {
	struct guest_tuning tuning; /* as set; the four below with the defaults put in */
	u64 min, max, limit;	    /* limit: UINT64_MAX, none */
	u32 shares;
	u64 goal, active, cold;
	u64 sampled; /* memory whose use is being watched */
	u64 balloon; /* what its balloon is told */
	u64 cold_age_ms;
	u64 blocked;   /* steps in which its faults had to wait */
	u64 promotion; /* thousandths of a per cent of its working set, that came back in a minute */
	u64 age_bytes[SAMPLER_AGES]; /* memory not seen in use for so long: mem/sampler.h */
};

struct policy_host {
	struct policy_tuning tuning;
	enum host_state state;
	u64 min_free;
	u64 steps, decisions;
	u64 state_changes;
	u64 state_steps[HOST_STATES]; /* how many steps found the host in each */
	bool active, dry_run;
};

/* What a guest says of its balloon. */
struct policy_balloon {
	bool driver; /* there is one that answers */
	struct guest_signs signs;
};

/* Starts the thread. `wake`, an eventfd, is written to when there are orders for balloons. It, config and
 * memory must outlive the policy. Returns 0 or -errno with the reason logged. */
int policy_create(const struct host_config *config, struct memory *memory, int wake,
		  struct policy **policy);
void policy_destroy(struct policy *policy);

/* Lists a guest, which is not admitted yet. `config` must outlive the policy. Returns its index, counted from
 * 0 in the order of the calls; or -ENOMEM. */
int policy_add(struct policy *policy, const struct guest_config *config);

/* The same in the place of one that is detached. */
void policy_replace(struct policy *policy, u32 index, const struct guest_config *config);

/*
 * Admission: whether the mins of all guests admitted so far and of this one fit the budget, with what
 * their page tables take. Returns 0, and the guest counts from now on; or -ENOSPC with the figures.
 */
int policy_admit(struct policy *policy, u32 index, char *why, u32 size);

/* The guest's memory is under management from now on, in the space of this id, till policy_detach(). */
void policy_attach(struct policy *policy, u32 index, struct space *space);
void policy_detach(struct policy *policy, u32 index);

/* What is known of its balloon now. */
void policy_hear(struct policy *policy, u32 index, const struct policy_balloon *balloon);

/* What its balloon should be, if that has changed since it was last asked for: true, and *bytes. */
bool policy_order(struct policy *policy, u32 index, u64 *bytes);

/* Its balloon is set by hand from now on, and the policy leaves it alone; or the other way round. As
 * configured, it is where there is a balloon-target. */
void policy_set_by_hand(struct policy *policy, u32 index, bool by_hand);

/* The order was not delivered: give it again. */
void policy_repeat_order(struct policy *policy, u32 index);

void policy_guest_snapshot(struct policy *policy, u32 index, struct policy_guest *snapshot);
void policy_host_snapshot(struct policy *policy, struct policy_host *snapshot);

/* What manager/tuning.h promises. */
void policy_get_tuning(struct policy *policy, struct policy_tuning *tuning);
int policy_set_tuning(struct policy *policy, const struct policy_tuning *tuning, char *why,
		      u32 size);
int policy_get_guest(struct policy *policy, u32 index, struct guest_tuning *tuning);
int policy_set_guest(struct policy *policy, u32 index, const struct guest_tuning *tuning, char *why,
		     u32 size);
u32 policy_decisions(struct policy *policy, char *text, u32 size);

#endif
