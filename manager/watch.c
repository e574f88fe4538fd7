/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/watch.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "mem/space.h"

/* Memory is active that was used within so many looks: a guest that waits for faults does not get round to
 * all that it uses in one. */
#define WINDOW_LOOKS   4U
#define AGED_ENOUGH    8U /* places known for long, before anything is said about cold memory */
#define SHARES_PER_MIB 10

u64 watch_max(const struct watch *watch)
{
	return watch->tuning.max ? watch->tuning.max : watch->memory_bytes;
}

u64 watch_limit(const struct watch *watch)
{
	u64 limit = watch->tuning.limit;

	return !limit || limit >= watch->memory_bytes ? UINT64_MAX : limit;
}

u64 watch_swap_max(const struct watch *watch)
{
	return watch->tuning.swap_max ? watch->tuning.swap_max : UINT64_MAX;
}

u32 watch_shares(const struct watch *watch)
{
	u64 shares = watch->tuning.shares;

	if (!shares)
		shares = MAX(watch->memory_bytes / MiB, 1UL) * SHARES_PER_MIB;
	return (u32)MIN(shares, 1000000UL);
}

int watch_begin(struct watch *watch, u32 space)
{
	watch->attached = true;
	watch->space = space;
	watch->estimate = (struct estimate){0};
	watch->memory = (struct target_memory){0};
	watch->decision = (struct target_decision){.goal = watch_max(watch)};
	watch->balloon = (struct policy_balloon){.signs = {.age_ms = UINT64_MAX}};
	watch->ordered = UINT64_MAX;
	watch->looked_ms = watch->refaulted = watch->coming_back = 0;
	watch->sampler = sampler_create(space + 1);
	return watch->sampler ? 0 : -ENOMEM;
}

void watch_end(struct watch *watch)
{
	watch->attached = false;
	watch->admitted = false;
	free(watch->sampler);
	watch->sampler = NULL;
}

static u64 bytes_in(const struct space *space, enum page_state state)
{
	return page_table_count(&space->table, state) * PAGE_SIZE;
}

/* Samples it, and takes note of what came back meanwhile: that is in use as well, it only was not here. */
static void take_look(struct watch *watch, struct space *space, u64 now_ns,
		      const struct watch_sampling *sampling)
{
	u64 refaulted = atomic_load(&space->counters.refaulted);
	struct sampler_look look = {
		.now_ns = now_ns,
		.window_ns = WINDOW_LOOKS * sampling->period_ms * NSEC_PER_MSEC,
		.cold_ns = MAX(watch->memory.coldness.age_ms, 1000UL) * NSEC_PER_MSEC,
		.percent = sampling->percent,
	};
	struct sampler_view view;

	if (sampler_look(watch->sampler, space, &look, &view))
		return;
	watch->view = view;
	estimate_add(&watch->estimate, view.touched, view.looked);
	watch->coming_back -= watch->coming_back / WINDOW_LOOKS;
	watch->coming_back += (refaulted - watch->refaulted) * PAGE_SIZE;
	watch->refaulted = refaulted;
	watch->looked_ms = now_ns / NSEC_PER_MSEC;
}

static u64 cold_bytes(const struct watch *watch, u64 resident)
{
	const struct sampler_view *view = &watch->view;

	return view->aged < AGED_ENOUGH ? 0 : resident / view->aged * view->cold;
}

static u64 pinned_bytes(const struct target_guest *guest, u64 swap_max)
{
	u64 room = swap_max > guest->stored ? swap_max - guest->stored : 0;

	return guest->resident > room ? guest->resident - room : 0;
}

void watch_gather(struct watch *watch, struct space *space, u64 now_ns,
		  const struct watch_sampling *sampling)
{
	u64 resident = bytes_in(space, PAGE_RESIDENT) + bytes_in(space, PAGE_SHARED);

	if (watch->sampler && now_ns / NSEC_PER_MSEC >= watch->looked_ms + sampling->period_ms)
		take_look(watch, space, now_ns, sampling);
	watch->input = (struct target_guest){
		.memory = watch->memory_bytes,
		.min = watch->tuning.min,
		.max = watch_max(watch),
		.limit = watch_limit(watch),
		.shares = watch_shares(watch),
		.resident = resident,
		.stored = bytes_in(space, PAGE_COMPRESSED) + bytes_in(space, PAGE_DISK),
		.active = MIN(estimate_active(&watch->estimate, resident) + watch->coming_back,
			      watch->memory_bytes),
		.cold = cold_bytes(watch, resident),
		.balloon = watch->balloon.driver && !watch->by_hand,
		/* Not what the guest says of it: what it really gave up. */
		.ballooned = bytes_in(space, PAGE_BALLOONED),
		.refaulted = atomic_load(&space->counters.refaulted),
		.missed = atomic_load(&space->counters.missed),
		.signs = watch->balloon.signs,
	};
	watch->input.pinned = pinned_bytes(&watch->input, watch_swap_max(watch));
}

static void set(_Atomic u64 *pages, u64 bytes)
{
	atomic_store_explicit(pages, bytes == UINT64_MAX ? UINT64_MAX : bytes / PAGE_SIZE,
			      memory_order_relaxed);
}

void watch_act(struct watch *watch, struct space *space, bool enforce, bool reclaim_cold)
{
	struct entitlement *entitlement = &space->entitlement;
	bool block = enforce && watch->decision.block;

	set(&entitlement->min, watch->tuning.min);
	set(&entitlement->limit, watch_limit(watch));
	set(&entitlement->swap_max, watch_swap_max(watch));
	set(&entitlement->goal, enforce ? watch->decision.goal : UINT64_MAX);
	set(&entitlement->keep, enforce ? watch->decision.keep : UINT64_MAX);
	atomic_store_explicit(&entitlement->cold_ms,
			      enforce && reclaim_cold ? watch->decision.cold_ms : 0,
			      memory_order_relaxed);
	atomic_store_explicit(&entitlement->shares, watch_shares(watch), memory_order_relaxed);
	atomic_store_explicit(&entitlement->blocked, block, memory_order_relaxed);
	watch->blocked += block;
}

void watch_ages(const struct watch *watch, u64 now_ns, u64 bytes[SAMPLER_AGES])
{
	u32 ages[SAMPLER_AGES] = {0}, places = 0;

	if (watch->sampler)
		places = sampler_ages(watch->sampler, now_ns, ages);
	for (u32 i = 0; i < SAMPLER_AGES; i++)
		bytes[i] = places ? watch->input.resident / places * ages[i] : 0;
}

u64 watch_sampled(const struct watch *watch)
{
	return watch->sampler ? sampler_bytes(watch->sampler) : 0;
}
