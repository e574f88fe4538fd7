/* SPDX-License-Identifier: Apache-2.0 */
/* What can be changed while a host runs. */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "lib/clock.h"
#include "manager/squeeze.h"
#include "manager/state.h"
#include "mem/reclaim.h"
#include "mem/space.h"
#include "swap/swap.h"

#define RECLAIM_PATIENCE (5 * NSEC_PER_SEC)

void manager_wake(struct manager *manager)
{
	eventfd_write(manager->wake, 1);
}

/* The cgroup's limit follows budget and slack. Down to below what the kernel counts it may refuse: then
 * the next step asks again. Lock held. */
void manager_follow_limit(struct manager *manager)
{
	if (manager->cgroup)
		cgroup_set_limit(manager->cgroup,
				 atomic_load(&manager->memory.budget.limit) + manager->slack);
}

static void follow_pool(struct manager *manager)
{
	swap_set_pool_limit(manager->swap, atomic_load(&manager->memory.budget.limit) / 100 *
						   manager->pool_percent);
}

/* One step towards the budget that was asked for. */
void manager_squeeze(struct manager *manager)
{
	struct budget *budget = &manager->memory.budget;
	u64 limit = atomic_load(&budget->limit), now = clock_now_ns(), next;

	if (limit == manager->target_bytes)
		return;
	next = squeeze_step(limit, manager->target_bytes, atomic_load(&budget->used),
			    atomic_load(&budget->min), manager->squeeze_rate,
			    now - manager->squeezed_ns);
	manager->squeezed_ns = now;
	if (next == limit)
		return;
	budget_set_limit(budget, next);
	follow_pool(manager);
	manager_follow_limit(manager);
}

/* What a budget must have room for: what cannot be evicted, and enough to work with. */
static int set_memory(struct manager *manager, u64 bytes, char *error, size_t size)
{
	u64 fixed = memory_metadata_bytes(&manager->memory) + manager->data_charged;

	if (bytes < fixed + MIN_BUDGET) {
		snprintf(error, size,
			 "a budget of %lu MiB is too small: %lu MiB of metadata and the guests' "
			 "data cannot be evicted, and %lu MiB is the least beside them",
			 bytes / MiB, fixed / MiB, MIN_BUDGET / MiB);
		return -EINVAL;
	}
	manager->target_bytes = bytes;
	manager->squeezed_ns = clock_now_ns();
	if (bytes > atomic_load(&manager->memory.budget.limit) && manager->cgroup)
		cgroup_set_limit(manager->cgroup, bytes + manager->slack);
	manager_squeeze(manager);
	return 0;
}

static int set_pool_percent(struct manager *manager, u64 percent, char *error, size_t size)
{
	u64 bytes = atomic_load(&manager->memory.budget.limit) / 100 * percent;
	struct swap_stats stats;

	swap_stats(manager->swap, &stats);
	if (!stats.pool_limit_bytes) {
		snprintf(error, size,
			 "this host was started with pool-percent = 0: it has no pool");
		return -EINVAL;
	}
	if (!swap_disk(manager->swap) && bytes < stats.pool_bytes) {
		snprintf(error, size,
			 "the pool holds %lu MiB, %lu MiB would be the limit, and without a swap "
			 "file it cannot be emptied",
			 stats.pool_bytes / MiB, bytes / MiB);
		return -EINVAL;
	}
	manager->pool_percent = (u32)percent;
	follow_pool(manager);
	return 0;
}

static int set_accept_percent(struct manager *manager, u64 value, char *error, size_t size)
{
	if (!swap_set_accept(manager->swap, (u32)value))
		return 0;
	snprintf(error, size,
		 "this host has no pool, or no swap file that could take pages while the pool is "
		 "emptied: only 100 is possible");
	return -EINVAL;
}

static int set_pool_accepts(struct manager *manager, u64 value, char *error, size_t size)
{
	if (!swap_set_pool_accepts(manager->swap, value))
		return 0;
	snprintf(error, size,
		 value ? "this host was started with pool-percent = 0: it has no pool"
		       : "without a swap file evicted pages have nowhere else to go");
	return -EINVAL;
}

static int set_share_stored(struct manager *manager, u64 value, char *error, size_t size)
{
	if (!swap_set_share(manager->swap, value))
		return 0;
	snprintf(error, size,
		 "this host was started with share-before-swap = no, or has no pool: there is no "
		 "index of what is stored");
	return -EINVAL;
}

static int set_io_depth(struct manager *manager, u64 value, char *error, size_t size)
{
	if (!swap_set_io_depth(manager->swap, (u32)value))
		return 0;
	snprintf(error, size, "this host was started without a swap file: nothing is read");
	return -EINVAL;
}

static int set_knob(struct manager *manager, enum manager_knob knob, u64 value, char *error,
		    size_t size)
{
	switch (knob) {
	case MANAGER_MEMORY:
		return set_memory(manager, value, error, size);
	case MANAGER_SQUEEZE_RATE:
		manager->squeeze_rate = value;
		return 0;
	case MANAGER_SAMPLE_MS:
		manager->sample_ms = (u32)value;
		reclaim_set_tick(manager->reclaim, (u32)value);
		return 0;
	case MANAGER_POOL_PERCENT:
		return set_pool_percent(manager, value, error, size);
	case MANAGER_ACCEPT_PERCENT:
		return set_accept_percent(manager, value, error, size);
	case MANAGER_ACCELERATION:
		swap_set_acceleration(manager->swap, (u32)value);
		return 0;
	case MANAGER_MAX_BLOB_BYTES:
		swap_set_max_blob_bytes(manager->swap, (u32)value);
		return 0;
	case MANAGER_POOL_ACCEPTS:
		return set_pool_accepts(manager, value, error, size);
	case MANAGER_SHARE_STORED:
		return set_share_stored(manager, value, error, size);
	case MANAGER_IO_DEPTH:
		return set_io_depth(manager, value, error, size);
	case MANAGER_READAHEAD:
		atomic_store(&manager->memory.readahead_pages, (u32)value);
		return 0;
	case MANAGER_KNOBS:
		break;
	}
	snprintf(error, size, "there is no setting number %d", (int)knob);
	return -EINVAL;
}

int manager_set(struct manager *manager, enum manager_knob knob, u64 value, char *error,
		size_t size)
{
	int result;

	pthread_mutex_lock(&manager->lock);
	result = set_knob(manager, knob, value, error, size);
	pthread_mutex_unlock(&manager->lock);
	manager_wake(manager);
	return result;
}

s64 manager_reclaim(struct manager *manager, u32 index, u64 bytes)
{
	struct space *space;
	u64 freed;

	pthread_mutex_lock(&manager->lock);
	space = guest_get_space(manager->guests[index]);
	pthread_mutex_unlock(&manager->lock);
	if (!space)
		return -ESRCH;
	freed = reclaim_from(manager->reclaim, space, bytes, clock_now_ns() + RECLAIM_PATIENCE);
	space_put(space);
	return (s64)freed;
}

int manager_set_balloon(struct manager *manager, u32 index, u64 target_bytes)
{
	int result;

	policy_set_by_hand(manager->policy, index, target_bytes);
	pthread_mutex_lock(&manager->lock);
	result = guest_set_balloon(manager->guests[index], target_bytes);
	pthread_mutex_unlock(&manager->lock);
	return result;
}

void manager_ask_free(struct manager *manager, u32 index)
{
	pthread_mutex_lock(&manager->lock);
	guest_ask_free(manager->guests[index]);
	pthread_mutex_unlock(&manager->lock);
}

void manager_get_ksm(struct manager *manager, struct ksm_options *options)
{
	ksm_get_options(manager->ksm, options);
}

void manager_set_ksm(struct manager *manager, const struct ksm_options *options)
{
	ksm_set_options(manager->ksm, options);
}

void manager_get_policy(struct manager *manager, struct policy_tuning *tuning)
{
	policy_get_tuning(manager->policy, tuning);
}

int manager_set_policy(struct manager *manager, const struct policy_tuning *tuning, char *why,
		       u32 size)
{
	return policy_set_tuning(manager->policy, tuning, why, size);
}

int manager_get_guest(struct manager *manager, u32 index, struct guest_tuning *tuning)
{
	return policy_get_guest(manager->policy, index, tuning);
}

int manager_set_guest(struct manager *manager, u32 index, const struct guest_tuning *tuning,
		      char *why, u32 size)
{
	return policy_set_guest(manager->policy, index, tuning, why, size);
}
