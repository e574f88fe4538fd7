/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory goes from those who rest to those who work: four guests on half of their memory, most of it page
 * cache; two work while two rest, and change roles again and again, as examples/balance.ini has it. With
 * balloons and without, one after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/cases.h"
#include "bench/host.h"
#include "lib/clock.h"

#define GUESTS	     4U
#define GUEST_BYTES  (512 * MiB)
#define FILL_PCT     80U
#define WORK_PCT     65U /* of what was filled */
#define TURNS	     4U
#define TURN_S	     20U
#define QUICK_TURN_S 8U
/* Of the pages it works on; the rest of it are pages it happens not to have touched. */
#define HOLD_PCT 95U

/* When a guest's turns began, and how long it took in each until it held what it works on. */
struct turns {
	u64 began_ns; /* 0: it still fills its memory */
	u64 held_ns[TURNS];
};

struct watch {
	struct host_observer observer;
	u64 turn_ns;
	struct turns turns[GUESTS];
};

static void make_guests(const struct bench *bench, bool balloon, u32 turn_s,
			struct guest_config *guests)
{
	for (u32 i = 0; i < GUESTS; i++) {
		struct guest_config *guest = &guests[i];

		guest_config_defaults(guest);
		guest->memory_bytes = GUEST_BYTES;
		guest->balloon = balloon;
		guest->tuning.min = 64 * MiB;
		guest->seed = i + 1;
		snprintf(guest->name, sizeof(guest->name), "%s-%u", i < 2 ? "early" : "late",
			 i % 2);
		snprintf(guest->workload, sizeof(guest->workload), "phase");
		snprintf(guest->args, sizeof(guest->args),
			 "fill=%u%% cache=90%% phase=%us phase-size=%u%% turn=%us turn-first=%s "
			 "verify=no",
			 FILL_PCT, turn_s, WORK_PCT, turn_s, i < 2 ? "work" : "rest");
		snprintf(guest->data, sizeof(guest->data), "%s", bench->options.data);
	}
}

static void watch_guest(const struct watch *watch, struct turns *turns, bool first,
			const struct guest_snapshot *guest)
{
	u64 needs = GUEST_BYTES / 100 * FILL_PCT / 100 * WORK_PCT / 100 * HOLD_PCT;
	u64 now = clock_now_ns(), turn;

	if (!turns->began_ns) {
		turns->began_ns = strcmp(guest->phase, "run") ? 0 : now;
		return;
	}
	turn = (now - turns->began_ns) / watch->turn_ns;
	if (turn >= TURNS || turn % 2 != !first || turns->held_ns[turn] ||
	    guest->pages[PAGE_RESIDENT] * PAGE_SIZE < needs)
		return;
	turns->held_ns[turn] = MAX((now - turns->began_ns) % watch->turn_ns, 1UL);
}

static void look(struct host_observer *observer, struct manager *manager)
{
	struct watch *watch = container_of(observer, struct watch, observer);

	for (u32 i = 0; i < GUESTS; i++) {
		struct guest_snapshot guest;

		manager_guest_snapshot(manager, i, &guest);
		if (guest.life == GUEST_LIFE_RUNNING)
			watch_guest(watch, &watch->turns[i], i < 2, &guest);
	}
}

/* The longest that a guest worked before it held what it works on, in seconds; a whole turn if it never did. */
static double longest(const struct watch *watch)
{
	u64 most = 0;

	for (u32 i = 0; i < GUESTS; i++)
		for (u32 turn = i / 2; turn < TURNS; turn += 2) {
			u64 held = watch->turns[i].held_ns[turn];

			most = MAX(most, held ? held : watch->turn_ns);
		}
	return (double)most / 1e9;
}

static int run(struct bench *bench, bool balloon)
{
	static struct guest_config guests[GUESTS];
	static struct host_config host;
	static struct host_result result;
	u32 turn_s = bench->options.quick ? QUICK_TURN_S : TURN_S;
	struct watch watch = {.observer = {look}, .turn_ns = turn_s * NSEC_PER_SEC};
	const char *how = balloon ? "with" : "without";
	int err;

	host_config_defaults(&host);
	make_guests(bench, balloon, turn_s, guests);
	snprintf(host.name, sizeof(host.name), "bench-balance");
	snprintf(host.swap_file, sizeof(host.swap_file), "%s", bench->options.swap);
	host.memory_bytes = GiB;
	host.sample_ms = 500;
	host.policy.interval_ms = 100;
	host.run_seconds = TURNS * turn_s + turn_s / 2;
	host.guest_count = GUESTS;
	host.guests = guests;
	err = host_run_observed(bench, &host, &watch.observer, &result);
	if (err)
		return err;
	if (result.ok != GUESTS)
		return bench_fail(bench, -EIO, "%u guests did not end well %s balloons",
				  GUESTS - result.ok, how);
	bench_put(bench, (double)result.host.read_bytes / MiB, -1, "MiB", "balance.read.%s", how);
	bench_put(bench, (double)result.host.written_bytes / MiB, -1, "MiB", "balance.written.%s",
		  how);
	bench_put(bench, longest(&watch), -1, "s", "balance.settle.%s", how);
	bench_put(bench, (double)result.ops, -1, "ops", "balance.operations.%s", how);
	return 0;
}

int balance_round(struct bench *bench)
{
	int err = run(bench, false);

	if (!err)
		err = run(bench, true);
	if (err)
		return err;
	bench_put(bench,
		  bench_last(bench, "balance.read.with") /
			  MAX(bench_last(bench, "balance.read.without"), 1.0),
		  -1, "x", "balance.read.ratio");
	return 0;
}
