/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest as the policy watches it: what it is promised, what is known of it, and what was decided last.
 * Belongs to manager/policy.c, whose lock guards it.
 */
#ifndef MANAGER_WATCH_H
#define MANAGER_WATCH_H

#include "balloon/estimate.h"
#include "balloon/target.h"
#include "manager/policy.h"
#include "mem/sampler.h"

struct watch {
	const char *name;
	u64 memory_bytes;
	bool by_hand; /* its balloon is: the policy leaves it alone */
	struct guest_tuning tuning;
	bool admitted, attached;
	u32 space; /* its id, while attached */
	struct sampler *sampler;
	struct estimate estimate;
	u64 looked_ms;		  /* when it was last sampled */
	u64 refaulted;		  /* the total then */
	u64 coming_back;	  /* bytes that it brought back between looks, lately */
	struct sampler_view view; /* of the last look */
	struct policy_balloon balloon;
	struct target_memory memory;
	struct target_guest input;
	struct target_decision decision;
	u64 ordered; /* bytes its balloon was last told; UINT64_MAX: nothing */
	u64 blocked; /* steps */
};

/* What it was promised, with the defaults put in. */
u64 watch_max(const struct watch *watch);
u64 watch_limit(const struct watch *watch);
u64 watch_swap_max(const struct watch *watch);
u32 watch_shares(const struct watch *watch);

/* Attaches or detaches it: what was learnt of an earlier life is forgotten. -ENOMEM: it is not sampled. */
int watch_begin(struct watch *watch, u32 space);
void watch_end(struct watch *watch);

/* How often its memory is looked at, and how much of it: sampler_look.percent. */
struct watch_sampling {
	u64 period_ms;
	u32 percent;
};

/* Samples it if it is time, and fills in watch->input. */
void watch_gather(struct watch *watch, struct space *space, u64 now_ns,
		  const struct watch_sampling *sampling);

/* Has the decision obeyed as far as eviction and faults are concerned; without `enforce` only what it is
 * promised holds. reclaim_cold: cold memory is to be taken ahead of need. */
void watch_act(struct watch *watch, struct space *space, bool enforce, bool reclaim_cold);

/* How much of its memory in the host has not been seen in use for how long, estimated from the samples. */
void watch_ages(const struct watch *watch, u64 now_ns, u64 bytes[SAMPLER_AGES]);

/* Memory whose use is being watched. */
u64 watch_sampled(const struct watch *watch);

#endif
