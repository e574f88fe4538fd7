/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/manager.h"

#include <errno.h>
#include <malloc.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "manager/data.h"
#include "manager/squeeze.h"
#include "manager/state.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "mem/turns.h"
#include "swap/swap.h"

#define POOL_MAX_PERCENT 80

static int enter_cgroup(struct manager *manager)
{
	const struct host_config *config = manager->config;
	const char *why = "";
	int result;

	manager->slack = SLACK_BASE + config->guest_count * SLACK_PER_GUEST;
	if (!config->cgroup)
		return 0;
	result = cgroup_create(config->name, &manager->cgroup, &why);
	if (result) {
		log_warn(
			"no memory cgroup (%s): the budget of %lu MiB is kept, but the kernel does "
			"not enforce it; cgroup = no silences this",
			why, config->memory_bytes / MiB);
		manager->cgroup = NULL;
		return 0;
	}
	result = cgroup_set_limit(manager->cgroup, config->memory_bytes + manager->slack);
	if (!result)
		result = cgroup_join(manager->cgroup, 0);
	if (result)
		log_error("cgroup %s: a limit of %lu MiB cannot be set: %s",
			  cgroup_path(manager->cgroup),
			  (config->memory_bytes + manager->slack) / MiB, strerror(-result));
	return result;
}

/*
 * The one table of who stores and who reclaims. An evicted page is offered to the pool first, then
 * (when it does not compress) to the disk; memory comes back by eviction, and room in the pool by
 * write-back.
 */
static int wire(struct manager *manager)
{
	struct memory *memory = &manager->memory;
	struct reclaimer *reclaimers[RECLAIMERS_MAX + 1] = {clock_reclaimer(manager->clock)};
	struct page_source *compressed = swap_compressed(manager->swap);
	struct page_source *disk = swap_disk(manager->swap);
	u32 stores = 0, count = 1;

	if (compressed) {
		memory->sources[PAGE_COMPRESSED] = compressed;
		memory->stores[stores++] = compressed;
	}
	if (disk) {
		memory->sources[PAGE_DISK] = disk;
		memory->stores[stores++] = disk;
	}
	if (swap_writeback(manager->swap))
		reclaimers[count++] = swap_writeback(manager->swap);
	return reclaim_create(memory, reclaimers, manager->config->sample_ms, &manager->reclaim);
}

static int open_ksm(struct manager *manager)
{
	struct ksm_options options = manager->config->ksm;
	int result;

	options.memory = &manager->memory;
	options.bind = numa_available() >= 0 && numa_max_node() > 0;
	result = ksm_create(&options, &manager->ksm);
	return result ? result : ksm_start(manager->ksm);
}

static int open_swap(struct manager *manager)
{
	const struct host_config *config = manager->config;
	struct swap_options options = {
		.memory = &manager->memory,
		.pool_bytes = config->memory_bytes / 100 * config->pool_percent,
		.pool_reserve =
			config->pool_percent ? config->memory_bytes / 100 * POOL_MAX_PERCENT : 0,
		.nodes = numa_available() < 0 ? 1 : (u32)numa_max_node() + 1,
		.path = config->swap_file[0] ? config->swap_file : NULL,
		.file_bytes = config->swap_bytes,
		.keep = config->swap_keep,
		.accept_percent = config->accept_percent,
		.acceleration = config->acceleration,
		.share_before_swap = config->share_before_swap,
	};

	return swap_create(&options, &manager->swap);
}

static int create_parts(struct manager *manager)
{
	const struct host_config *config = manager->config;
	int result;

	if (config->memory_bytes < MIN_BUDGET) {
		log_error("a budget of %lu MiB is too small: %lu MiB is the least",
			  config->memory_bytes / MiB, MIN_BUDGET / MiB);
		return -EINVAL;
	}
	manager->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (manager->wake < 0)
		return -errno;
	result = enter_cgroup(manager);
	if (result)
		return result;
	result = data_cache_create(config->data_bytes, &manager->data);
	if (result)
		return result;
	result = open_swap(manager);
	if (result)
		return result;
	result = open_ksm(manager);
	if (result)
		return result;
	manager->clock = clock_create(&manager->memory);
	result = manager->clock ? wire(manager) : -ENOMEM;
	if (result)
		return result;
	result = turns_create(&manager->memory, &manager->turns);
	if (!result)
		result = turns_start(manager->turns);
	if (result)
		return result;
	return policy_create(config, &manager->memory, manager->wake, &manager->policy);
}

int manager_create(const struct host_config *config, struct manager **out)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	int result;

	if (!manager)
		return -ENOMEM;
	/* malloc() learns from large buffers that are freed to keep such memory, in an arena for each thread: some
	 * 80 MiB in a storm, of which the budget knows nothing. A threshold that is set stays. */
	mallopt(M_MMAP_THRESHOLD, 128 * KiB);
	manager->config = config;
	manager->wake = -1;
	pthread_mutex_init(&manager->lock, NULL);
	pthread_mutex_init(&manager->resalt_lock, NULL);
	manager->target_bytes = config->memory_bytes;
	manager->squeeze_rate = squeeze_default_rate(config->memory_bytes);
	manager->pool_percent = config->pool_percent;
	manager->sample_ms = config->sample_ms;
	manager->salts.salting = config->salting;
	manager->started_ns = clock_now_ns();
	memory_init(&manager->memory, config->memory_bytes);
	manager->memory.huge_pages = config->huge_pages;
	result = create_parts(manager);
	if (result) {
		manager_destroy(manager);
		return result;
	}
	manager->host = (struct guest_host){
		.config = config,
		.memory = &manager->memory,
		.ksm = manager->ksm,
		.data = manager->data,
		.policy = manager->policy,
		.salts = &manager->salts,
	};
	if (config->listens)
		result = lobby_open(config->attach, config->attach_mode, config->attach_group,
				    &manager->lobby);
	if (result) {
		manager_destroy(manager);
		return result;
	}
	*out = manager;
	return 0;
}

void manager_destroy(struct manager *manager)
{
	lobby_close(manager->lobby);
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_destroy(manager->guests[i]);
	for (u32 i = 0; i < manager->guest_count; i++)
		free(manager->added[i]);
	if (manager->ksm)
		ksm_stop(manager->ksm);
	if (manager->policy)
		policy_destroy(manager->policy);
	if (manager->reclaim)
		reclaim_destroy(manager->reclaim);
	if (manager->clock)
		clock_destroy(manager->clock);
	if (manager->turns)
		turns_destroy(manager->turns);
	if (manager->ksm)
		ksm_destroy(manager->ksm);
	if (manager->swap)
		swap_destroy(manager->swap);
	if (manager->data)
		data_cache_destroy(manager->data);
	memory_destroy(&manager->memory);
	cgroup_destroy(manager->cgroup);
	if (manager->wake >= 0)
		close(manager->wake);
	pthread_mutex_destroy(&manager->resalt_lock);
	pthread_mutex_destroy(&manager->lock);
	salts_free(&manager->salts);
	free(manager->polls);
	free(manager->added);
	free(manager->guests);
	free(manager);
}
