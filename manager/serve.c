/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that serves: hears the guests, carries orders to their balloons, and keeps figures up to date. */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "balloon/abi.h"
#include "lib/clock.h"
#include "manager/data.h"
#include "manager/state.h"

#define USAGE_PERIOD	(100 * NSEC_PER_MSEC)
#define ORDERS_PERIOD	(100 * NSEC_PER_MSEC)
#define PRESSURE_PERIOD (2 * NSEC_PER_SEC) /* the kernel's, for its averages */
#define SQUEEZE_MS	20		   /* between two steps of a budget on its way down */

void manager_charge_data(struct manager *manager)
{
	u64 bytes = data_cache_bytes(manager->data);

	budget_charge(&manager->memory.budget, bytes - manager->data_charged);
	manager->data_charged = bytes;
}

static void sample_usage(struct manager *manager)
{
	u64 now = clock_now_ns();

	if (!manager->cgroup || now < manager->usage_due_ns)
		return;
	manager->usage_due_ns = now + USAGE_PERIOD;
	cgroup_read_usage(manager->cgroup, &manager->usage);
}

/* What a guest's balloon statistics say, in the policy's words. */
static void tell_policy(struct policy *policy, u32 index, const struct balloon_snapshot *balloon)
{
	const u64 *values = balloon->values;
	struct policy_balloon words = {
		.driver = balloon->features,
		.signs =
			{
				.age_ms = balloon->stats_age_ms,
				.major_faults = values[BALLOON_STAT_MAJOR_FAULTS],
				.alloc_stalls = values[BALLOON_STAT_ALLOC_STALLS],
				.direct_scans = values[BALLOON_STAT_DIRECT_SCANNED],
				.direct_reclaims = values[BALLOON_STAT_DIRECT_RECLAIMED],
				.refaults = values[BALLOON_STAT_SWAP_IN] / PAGE_SIZE,
			},
	};

	policy_hear(policy, index, &words);
}

/* Tells the policy how balloons are, and balloons what it decided. */
static void exchange_orders(struct manager *manager)
{
	u64 now = clock_now_ns(), bytes;

	if (!manager->woken && now < manager->orders_due_ns)
		return;
	manager->woken = false;
	manager->orders_due_ns = now + ORDERS_PERIOD;
	for (u32 i = 0; i < manager->guest_count; i++) {
		struct balloon_snapshot balloon;

		if (!guest_get_balloon(manager->guests[i], &balloon))
			continue;
		tell_policy(manager->policy, i, &balloon);
		if (policy_order(manager->policy, i, &bytes) &&
		    guest_set_balloon(manager->guests[i], bytes))
			policy_repeat_order(manager->policy, i);
	}
}

static void sample_pressure(struct manager *manager)
{
	u64 now = clock_now_ns();

	if (now < manager->pressure_due_ns)
		return;
	manager->pressure_due_ns = now + PRESSURE_PERIOD;
	pressure_sample(&manager->memory.pressure, &manager->pressure, now);
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_sample(manager->guests[i], now);
}

/* Lists who is to be heard: the wake-up call first, then the guests, then who wants to become one. Returns how
 * many without those, or 0 when there is no memory for it. */
static u32 list_polls(struct manager *manager)
{
	u32 count = manager->guest_count + 1;

	if (count + LOBBY_POLLS > manager->poll_capacity) {
		u32 capacity = (count + LOBBY_POLLS) * 2;
		struct pollfd *polls =
			reallocarray(manager->polls, capacity, sizeof(*manager->polls));

		if (!polls)
			return 0;
		manager->polls = polls;
		manager->poll_capacity = capacity;
	}
	manager->polls[0] = (struct pollfd){.fd = manager->wake, .events = POLLIN};
	for (u32 i = 0; i < manager->guest_count; i++)
		manager->polls[i + 1] = (struct pollfd){
			.fd = guest_socket(manager->guests[i]),
			.events = POLLIN,
		};
	return count;
}

/* Hears those of the first `count` polled who have something to say, one message of each. */
static void serve_guests(struct manager *manager, u32 count)
{
	eventfd_t woken;

	if (manager->polls[0].revents)
		manager->woken = !eventfd_read(manager->wake, &woken);
	/* Guests that came meanwhile are behind, and none ever goes. */
	for (u32 i = 0; i + 1 < count; i++) {
		if (manager->polls[i + 1].revents && guest_socket(manager->guests[i]) >= 0)
			guest_receive(manager->guests[i]);
	}
	manager_charge_data(manager);
}

/* Waits for any guest's message and handles one of each. The lock, held before and after, is free
 * meanwhile. */
static void serve_once(struct manager *manager, int timeout_ms)
{
	u32 count = list_polls(manager), visitors = 0;
	int ready;

	if (count && manager->lobby)
		visitors = lobby_polls(manager->lobby, manager->polls + count);
	if (atomic_load(&manager->memory.budget.limit) != manager->target_bytes)
		timeout_ms = MIN(timeout_ms, SQUEEZE_MS);
	pthread_mutex_unlock(&manager->lock);
	ready = poll(manager->polls, count + visitors, timeout_ms);
	pthread_mutex_lock(&manager->lock);
	if (ready > 0 && count)
		serve_guests(manager, count);
	if (!visitors || ready < 0)
		return;
	lobby_serve(manager->lobby, manager->polls + count, visitors, clock_now_ns());
	manager_receive_visitors(manager);
}

/* Guests that wait for each other begin together. */
static void let_begin(struct manager *manager)
{
	for (u32 i = 0; i < manager->guest_count; i++)
		if (!guest_filled(manager->guests[i]))
			return;
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_begin(manager->guests[i]);
}

static int serve(struct manager *manager, int timeout_ms)
{
	u64 until = clock_now_ns() + (u64)MAX(timeout_ms, 0) * NSEC_PER_MSEC;
	int running = (int)manager_count_running(manager);

	while (running || manager->lobby) {
		u64 now = clock_now_ns();
		int before = running;

		sample_usage(manager);
		sample_pressure(manager);
		manager_squeeze(manager);
		exchange_orders(manager);
		let_begin(manager);
		for (u32 i = 0; i < manager->guest_count; i++)
			guest_tick(manager->guests[i]);
		serve_once(manager, now < until ? (int)((until - now) / NSEC_PER_MSEC) + 1 : 0);
		running = (int)manager_count_running(manager);
		if (running < before || clock_now_ns() >= until)
			break;
	}
	/* The end of the last is the run's. */
	if (!running && !manager->lobby && !manager->ended_ns)
		manager->ended_ns = clock_now_ns();
	return running;
}

int manager_serve(struct manager *manager, int timeout_ms)
{
	int running;

	pthread_mutex_lock(&manager->lock);
	running = serve(manager, timeout_ms);
	pthread_mutex_unlock(&manager->lock);
	return running;
}
