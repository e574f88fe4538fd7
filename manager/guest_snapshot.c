/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest is. */
#include <string.h>

#include "ksm/ksm.h"
#include "lib/clock.h"
#include "manager/guest_state.h"
#include "mem/space.h"

void guest_count_space(const struct guest *guest, struct guest_snapshot *snapshot)
{
	struct space *space = guest->space;

	if (!space)
		return;
	pressure_show(&guest->pressure, &snapshot->pressure);
	snapshot->faults_removed = atomic_load(&space->counters.removed);
	snapshot->metadata_bytes = space->metadata_bytes;
	snapshot->stall_ns = atomic_load(&space->counters.stall_ns);
	snapshot->faults_missing = atomic_load(&space->counters.missing);
	snapshot->faults_minor = atomic_load(&space->counters.minor);
	snapshot->pages_around = atomic_load(&space->counters.around);
	snapshot->faults_wp = atomic_load(&space->counters.wp);
	snapshot->cow_breaks = atomic_load(&space->counters.cow_breaks);
	snapshot->private_pages = atomic_load(&space->counters.private) +
				  atomic_load(&space->counters.own);
	snapshot->evicted_pages = atomic_load(&space->counters.evicted);
	snapshot->turns = atomic_load(&space->turn.given);
	snapshot->turn_wait_ns = atomic_load(&space->turn.waited_ns);
	snapshot->cold_pages = atomic_load(&space->counters.cold);
	snapshot->refaulted_pages = atomic_load(&space->counters.refaulted);
	for (u32 i = 0; i < PAGE_FLOWS; i++)
		snapshot->flow_pages[i] = page_table_flow(&space->table, (enum page_flow)i);
	snapshot->huge_bytes = atomic_load(&space->counters.whole_regions) * REGION_SIZE;
	for (u32 i = 0; i < PAGE_STATES; i++)
		snapshot->pages[i] = page_table_count(&space->table, (enum page_state)i);
	snapshot->shares =
		guest->shares && atomic_load(&space->salt) == space->options.salt;
	snapshot->saved_bytes = ksm_saved_bytes(guest->host->ksm, space);
	pthread_mutex_lock(&space->hist_lock);
	memcpy(snapshot->fault_latency, space->fault_latency, sizeof(space->fault_latency));
	pthread_mutex_unlock(&space->hist_lock);
}

void guest_snapshot(const struct guest *guest, struct guest_snapshot *snapshot)
{
	*snapshot = guest->last;
	if (!guest_running(guest))
		return;
	if (guest->started_ns)
		snapshot->run_ns = clock_now_ns() - guest->started_ns;
	if (guest->balloon)
		guest_balloon_snapshot(guest->balloon, &snapshot->balloon);
	guest_count_space(guest, snapshot);
	memcpy(snapshot->flow_bytes_per_s, guest->rates.bytes_per_s,
	       sizeof(snapshot->flow_bytes_per_s));
}

s32 guest_node(const struct guest *guest)
{
	return guest->config->node;
}

u64 guest_resident_bytes(const struct guest *guest)
{
	return guest->space ? page_table_count(&guest->space->table, PAGE_RESIDENT) * PAGE_SIZE : 0;
}

void pressure_show(const struct pressure_average *average, struct pressure_snapshot *to)
{
	to->some_ns = average->some_ns;
	to->full_ns = average->full_ns;
	memcpy(to->some, average->some, sizeof(to->some));
	memcpy(to->full, average->full, sizeof(to->full));
}

static void sample_rates(struct guest_rates *rates, const struct page_table *table, u64 now_ns)
{
	u64 elapsed_ns = now_ns - rates->since_ns;

	for (u32 i = 0; i < PAGE_FLOWS; i++) {
		u64 total = page_table_flow(table, (enum page_flow)i);
		double bytes = (double)(total - rates->flow[i]) * PAGE_SIZE;

		if (rates->since_ns && elapsed_ns)
			rates->bytes_per_s[i] = (u64)(bytes * NSEC_PER_SEC / (double)elapsed_ns);
		rates->flow[i] = total;
	}
	rates->since_ns = now_ns;
}

void guest_sample(struct guest *guest, u64 now_ns)
{
	if (!guest->space)
		return;
	pressure_sample(&guest->space->pressure, &guest->pressure, now_ns);
	sample_rates(&guest->rates, &guest->space->table, now_ns);
}
