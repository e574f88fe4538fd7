/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a manager is, for the files that are the manager: manager.c makes it, roster.c keeps its guests,
 * serve.c is the thread that serves them, settings.c changes it and snapshot.c describes it.
 */
#ifndef MANAGER_STATE_H
#define MANAGER_STATE_H

#include <poll.h>
#include <pthread.h>

#include "manager/cgroup.h"
#include "manager/guest.h"
#include "manager/lobby.h"
#include "manager/manager.h"
#include "manager/salts.h"
#include "mem/memory.h"

/* What the cgroup allows above the budget: kernel memory we do not count (page tables of three
 * mappings, KVM's shadow pages, sockets), the processes' own stacks and heaps, buffers in flight. */
#define SLACK_BASE	(32 * MiB)
#define SLACK_PER_GUEST (8 * MiB)
#define MIN_BUDGET	(32 * MiB)

struct manager {
	const struct host_config *config;
	pthread_mutex_t lock; /* outermost: guests, cgroup, and all that changes below */
	int wake;	      /* eventfd: something changed, the serving thread should look */
	u64 target_bytes;     /* the budget that was asked for */
	u64 squeeze_rate;     /* bytes a second */
	u64 squeezed_ns;      /* the last step towards it */
	u64 pressure_due_ns;
	struct pressure_average pressure;
	u32 pool_percent, sample_ms;
	struct cgroup *cgroup; /* NULL: none */
	struct cgroup_usage usage;
	u64 usage_due_ns;
	u64 slack;
	u64 started_ns, ended_ns;
	struct memory memory;
	struct swap *swap;
	struct ksm *ksm;
	struct clock *clock;
	struct turns *turns;
	struct reclaim *reclaim;
	struct data_cache *data;
	u64 data_charged;
	u64 metadata; /* the most it was: guests take theirs along when they end */
	bool woken;   /* the policy may want balloons changed */
	u64 orders_due_ns;
	struct policy *policy;
	struct salts salts;
	pthread_mutex_t resalt_lock; /* one change of domains at a time; before `lock` */
	struct guest_host host;
	u32 guest_count;
	struct guest **guests;
	struct guest_config **added; /* of guests that came later, else NULL; as long as guests */
	u32 guest_capacity;
	struct pollfd *polls; /* of the serving thread alone */
	u32 poll_capacity;
	struct lobby *lobby; /* NULL: guests come from the configuration alone */
};

/* All but manager_wake() want the lock held. */

/* Something changed: the serving thread should look. */
void manager_wake(struct manager *manager);

/* Guests that have not ended. */
u32 manager_count_running(const struct manager *manager);

/* Takes in VMMs that have said HELLO, or turns them away. */
void manager_receive_visitors(struct manager *manager);

/* Lists a guest that came, in the place of one that has ended (-1: a new one), and has it introduce itself;
 * `config` is the manager's from then on. 0 and *guest, which may have been refused and has ended then; or
 * -errno, and nothing was taken. */
int manager_admit(struct manager *manager, struct guest_config *config, s64 place,
		  const struct guest_visit *visit, struct guest **guest);

/* Data that was loaded lives in memory like everything else, and counts. */
void manager_charge_data(struct manager *manager);

/* As manager_find_guest(). */
int manager_find_locked(const struct manager *manager, const char *name);

/* The cgroup's limit follows budget and slack. Down to below what the kernel counts it may refuse: then
 * the next step asks again. */
void manager_follow_limit(struct manager *manager);

/* One step towards the budget that was asked for. */
void manager_squeeze(struct manager *manager);

#endif
