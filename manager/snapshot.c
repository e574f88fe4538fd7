/* SPDX-License-Identifier: Apache-2.0 */
/* How the host and its guests are. */
#include <numa.h>

#include "lib/clock.h"
#include "manager/state.h"
#include "mem/space.h"
#include "swap/swap.h"

static void snapshot_swap(struct manager *manager, struct host_snapshot *snapshot)
{
	struct swap_stats stats;

	swap_stats(manager->swap, &stats);
	snapshot->stored_pages = stats.stored_pages;
	snapshot->pool_bytes = stats.pool_bytes;
	snapshot->pool_blob_bytes = stats.pool_blob_bytes;
	snapshot->pool_pages = stats.pool_pages;
	snapshot->pool_limit_bytes = stats.pool_limit_bytes;
	snapshot->acceleration = stats.acceleration;
	snapshot->max_blob_bytes = stats.max_blob_bytes;
	snapshot->swap_enabled = stats.pool_limit_bytes || stats.disk_limit_bytes;
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
	snapshot->written_back_pages = stats.written_back_pages;
	snapshot->accept_percent = stats.accept_percent;
	snapshot->reject_recovering = stats.reject_recovering;
	snapshot->io_depth = stats.io_depth;
	snapshot->pool_accepts = stats.pool_accepts;
	snapshot->share_before_swap = stats.share;
}

static void host_snapshot(struct manager *manager, struct host_snapshot *snapshot)
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
		.guests_running = manager_count_running(manager),
		.target_bytes = manager->target_bytes,
		.squeeze_bytes_per_s = manager->squeeze_rate,
		.watermark_min = atomic_load(&memory->budget.min),
		.watermark_low = atomic_load(&memory->budget.low),
		.watermark_high = atomic_load(&memory->budget.high),
		.resident_bytes = memory_resident_pages(memory) * PAGE_SIZE,
		.pool_percent = manager->pool_percent,
		.sample_ms = manager->sample_ms,
		.salting = manager->salts.salting,
		.readahead_pages = atomic_load(&memory->readahead_pages),
	};
	pressure_show(&manager->pressure, &snapshot->pressure);
	for (u32 i = 0; i < manager->guest_count; i++)
		snapshot->guest_bytes += guest_memory_bytes(manager->guests[i]);
	manager->metadata = MAX(manager->metadata, memory_metadata_bytes(memory));
	snapshot->metadata_bytes = manager->metadata;
	snapshot_swap(manager, snapshot);
	policy_host_snapshot(manager->policy, &snapshot->policy);
	ksm_stats(manager->ksm, &snapshot->ksm);
}

void manager_host_snapshot(struct manager *manager, struct host_snapshot *snapshot)
{
	pthread_mutex_lock(&manager->lock);
	host_snapshot(manager, snapshot);
	pthread_mutex_unlock(&manager->lock);
}

void manager_guest_snapshot(struct manager *manager, u32 index, struct guest_snapshot *snapshot)
{
	pthread_mutex_lock(&manager->lock);
	guest_snapshot(manager->guests[index], snapshot);
	policy_guest_snapshot(manager->policy, index, &snapshot->policy);
	pthread_mutex_unlock(&manager->lock);
}

static u64 node_resident(const struct manager *manager, u32 node)
{
	bool only = numa_available() < 0 || numa_max_node() == 0;
	u64 bytes = 0;

	for (u32 i = 0; i < manager->guest_count; i++) {
		s32 placed = guest_node(manager->guests[i]);

		if (placed == (s32)node || (placed < 0 && only && !node))
			bytes += guest_resident_bytes(manager->guests[i]);
	}
	return bytes;
}

void manager_node_snapshot(struct manager *manager, u32 node, struct node_snapshot *snapshot)
{
	pthread_mutex_lock(&manager->lock);
	*snapshot = (struct node_snapshot){
		.shared = ksm_node_bytes(manager->ksm, node),
		.pool = swap_node_bytes(manager->swap, node),
		.resident = node_resident(manager, node),
	};
	pthread_mutex_unlock(&manager->lock);
}

u32 manager_decisions(struct manager *manager, char *text, u32 size)
{
	return policy_decisions(manager->policy, text, size);
}
