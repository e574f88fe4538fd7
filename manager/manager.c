/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/manager.h"

#include <errno.h>
#include <numa.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "manager/cgroup.h"
#include "manager/data.h"
#include "manager/guest.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "swap/swap.h"

/* What the cgroup allows above the budget: kernel memory we do not count (page tables of three
 * mappings, KVM's shadow pages, sockets), the processes' own stacks and heaps, buffers in flight. */
#define SLACK_BASE	(32 * MiB)
#define SLACK_PER_GUEST (8 * MiB)
#define USAGE_PERIOD	(100 * NSEC_PER_MSEC)
#define MIN_BUDGET	(32 * MiB)

struct manager {
	const struct host_config *config;
	struct cgroup *cgroup; /* NULL: none */
	struct cgroup_usage usage;
	u64 usage_due_ns;
	u64 slack;
	u64 started_ns, ended_ns;
	struct memory memory;
	struct swap *swap;
	struct clock *clock;
	struct reclaim *reclaim;
	struct data_cache *data;
	u64 data_charged;
	u64 metadata; /* the most it was: guests take theirs along when they end */
	struct guest_host host;
	u32 guest_count;
	struct guest **guests;
	struct pollfd *polls;
};

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

static int open_swap(struct manager *manager)
{
	const struct host_config *config = manager->config;
	struct swap_options options = {
		.memory = &manager->memory,
		.pool_bytes = config->memory_bytes / 100 * config->pool_percent,
		.nodes = numa_available() < 0 ? 1 : (u32)numa_max_node() + 1,
		.path = config->swap_file[0] ? config->swap_file : NULL,
		.file_bytes = config->swap_bytes,
		.keep = config->swap_keep,
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
	manager->guests = calloc(config->guest_count, sizeof(*manager->guests));
	manager->polls = calloc(config->guest_count, sizeof(*manager->polls));
	if (!manager->guests || !manager->polls)
		return -ENOMEM;
	result = enter_cgroup(manager);
	if (result)
		return result;
	result = data_cache_create(config->data_bytes, &manager->data);
	if (result)
		return result;
	result = open_swap(manager);
	if (result)
		return result;
	manager->clock = clock_create(&manager->memory);
	return manager->clock ? wire(manager) : -ENOMEM;
}

int manager_create(const struct host_config *config, struct manager **out)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	int result;

	if (!manager)
		return -ENOMEM;
	manager->config = config;
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
		.data = manager->data,
	};
	*out = manager;
	return 0;
}

/* The data lives in memory like everything else, and counts. */
static void charge_data(struct manager *manager)
{
	u64 bytes = data_cache_bytes(manager->data);

	budget_charge(&manager->memory.budget, bytes - manager->data_charged);
	manager->data_charged = bytes;
}

int manager_start_guests(struct manager *manager)
{
	u32 running = 0;

	for (u32 i = 0; i < manager->config->guest_count; i++) {
		struct guest *guest = guest_start(&manager->host, &manager->config->guests[i]);

		if (!guest)
			return -ENOMEM;
		manager->guests[manager->guest_count++] = guest;
		running += guest_running(guest);
	}
	return running ? 0 : -ECHILD;
}

static void sample_usage(struct manager *manager)
{
	u64 now = clock_now_ns();

	if (!manager->cgroup || now < manager->usage_due_ns)
		return;
	manager->usage_due_ns = now + USAGE_PERIOD;
	cgroup_read_usage(manager->cgroup, &manager->usage);
}

static int count_running(struct manager *manager)
{
	int running = 0;

	for (u32 i = 0; i < manager->guest_count; i++)
		running += guest_running(manager->guests[i]);
	if (!running && !manager->ended_ns)
		manager->ended_ns = clock_now_ns();
	return running;
}

/* Waits for any guest's message and handles one of each. Returns false when none came. */
static bool serve_once(struct manager *manager, int timeout_ms)
{
	for (u32 i = 0; i < manager->guest_count; i++)
		manager->polls[i] = (struct pollfd){
			.fd = guest_socket(manager->guests[i]),
			.events = POLLIN,
		};
	if (poll(manager->polls, manager->guest_count, timeout_ms) <= 0)
		return false;
	for (u32 i = 0; i < manager->guest_count; i++) {
		if (manager->polls[i].revents)
			guest_receive(manager->guests[i]);
	}
	charge_data(manager);
	return true;
}

int manager_serve(struct manager *manager, int timeout_ms)
{
	u64 until = clock_now_ns() + (u64)MAX(timeout_ms, 0) * NSEC_PER_MSEC;
	int running = count_running(manager);

	while (running) {
		u64 now = clock_now_ns();
		int before = running;

		sample_usage(manager);
		for (u32 i = 0; i < manager->guest_count; i++)
			guest_tick(manager->guests[i]);
		serve_once(manager, now < until ? (int)((until - now) / NSEC_PER_MSEC) + 1 : 0);
		running = count_running(manager);
		if (running != before || clock_now_ns() >= until)
			break;
	}
	return running;
}

void manager_stop_guests(struct manager *manager, bool graceful, const char *reason)
{
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_stop(manager->guests[i], graceful, reason);
}

static void snapshot_swap(struct manager *manager, struct host_snapshot *snapshot)
{
	struct swap_stats stats;

	swap_stats(manager->swap, &stats);
	snapshot->stored_pages = stats.stored_pages;
	snapshot->pool_bytes = stats.pool_bytes;
	snapshot->pool_blob_bytes = stats.pool_blob_bytes;
	snapshot->pool_pages = stats.pool_pages;
	snapshot->disk_bytes = stats.disk_bytes;
	snapshot->disk_pages = stats.disk_pages;
	snapshot->disk_limit_bytes = stats.disk_limit_bytes;
	snapshot->written_bytes = stats.written_bytes;
	snapshot->read_bytes = stats.read_bytes;
	snapshot->io_errors = stats.io_errors;
	snapshot->compressed_in_bytes = stats.compressed_in_bytes;
	snapshot->compressed_out_bytes = stats.compressed_out_bytes;
	snapshot->reject_compress_poor = stats.reject_compress_poor;
	snapshot->pool_limit_hit = stats.pool_limit_hit;
	snapshot->swap_full = stats.swap_full;
	snapshot->dedup_hits = stats.dedup_hits;
	snapshot->dedup_collisions = stats.hash_collisions;
	snapshot->shared_blobs = stats.shared_blobs;
	snapshot->shared_blob_pages = stats.shared_pages;
	snapshot->shared_disk_pages = stats.shared_disk_pages;
	snapshot->shared_saved_bytes = stats.shared_saved_bytes;
	snapshot->shared_peak_saved_bytes = stats.shared_peak_saved_bytes;
}

void manager_host_snapshot(struct manager *manager, struct host_snapshot *snapshot)
{
	struct memory *memory = &manager->memory;
	u64 end = manager->ended_ns ? manager->ended_ns : clock_now_ns();

	*snapshot = (struct host_snapshot){
		.budget_bytes = memory->budget.limit,
		.used_bytes = atomic_load(&memory->budget.used),
		.peak_used_bytes = atomic_load(&memory->budget.peak),
		.kernel_bytes = manager->usage.now,
		.peak_kernel_bytes = manager->usage.peak,
		.slack_bytes = manager->slack,
		.data_bytes = manager->data_charged,
		.duration_ns = end - manager->started_ns,
		.same_filled_pages = atomic_load(&memory->same_filled),
		.evict_cancelled = atomic_load(&memory->evict_cancelled),
		.direct_reclaims = atomic_load(&memory->direct_reclaims),
		.guest_count = manager->guest_count,
		.guests_running = (u32)count_running(manager),
	};
	for (u32 i = 0; i < manager->config->guest_count; i++)
		snapshot->guest_bytes += manager->config->guests[i].memory_bytes;
	manager->metadata = MAX(manager->metadata, memory_metadata_bytes(memory));
	snapshot->metadata_bytes = manager->metadata;
	snapshot_swap(manager, snapshot);
}

int manager_set_balloon(struct manager *manager, u32 index, u64 target_bytes)
{
	return guest_set_balloon(manager->guests[index], target_bytes);
}

void manager_ask_free(struct manager *manager, u32 index)
{
	guest_ask_free(manager->guests[index]);
}

void manager_guest_snapshot(struct manager *manager, u32 index, struct guest_snapshot *snapshot)
{
	guest_snapshot(manager->guests[index], snapshot);
}

void manager_destroy(struct manager *manager)
{
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_destroy(manager->guests[i]);
	if (manager->reclaim)
		reclaim_destroy(manager->reclaim);
	if (manager->clock)
		clock_destroy(manager->clock);
	if (manager->swap)
		swap_destroy(manager->swap);
	if (manager->data)
		data_cache_destroy(manager->data);
	memory_destroy(&manager->memory);
	cgroup_destroy(manager->cgroup);
	free(manager->polls);
	free(manager->guests);
	free(manager);
}
