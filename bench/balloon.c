/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balloons from end to end: nano guests under KVM, their driver, the device in their VMMs, and the manager
 * that drops. Memory goes in and out in blocks of 2 MiB, and page by page where there are no huge pages;
 * touched, so that there is something to drop, and untouched. Then from one guest to another.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/cases.h"
#include "lib/clock.h"
#include "manager/manager.h"

#define PATIENCE   (30 * NSEC_PER_SEC)
#define GUEST_LEFT (96 * MiB) /* of a guest, besides what its balloon moves */

struct balloon_bench {
	struct bench *bench;
	struct host_config host;
	struct guest_config guests[2];
	struct manager *manager;
};

static void describe(struct balloon_bench *at, u32 guests, u64 bytes, bool huge, const char *args)
{
	host_config_defaults(&at->host);
	at->host.memory_bytes = guests * (bytes + GUEST_LEFT) + 256 * MiB;
	at->host.accel = ATTACH_ACCEL_KVM;
	at->host.cgroup = false;
	at->host.huge_pages = huge;
	at->host.guests = at->guests;
	at->host.guest_count = guests;
	for (u32 i = 0; i < guests; i++) {
		struct guest_config *guest = &at->guests[i];

		guest_config_defaults(guest);
		snprintf(guest->name, sizeof(guest->name), "bench-%u", i);
		guest->memory_bytes = bytes + GUEST_LEFT;
		snprintf(guest->workload, sizeof(guest->workload), "idle");
		snprintf(guest->args, sizeof(guest->args), "fill=1%% report=no %s", args);
	}
}

static u64 actual(struct balloon_bench *at, u32 guest)
{
	static struct guest_snapshot snapshot;

	manager_guest_snapshot(at->manager, guest, &snapshot);
	return snapshot.balloon.actual;
}

static bool running(struct balloon_bench *at, u32 guest)
{
	static struct guest_snapshot snapshot;

	manager_guest_snapshot(at->manager, guest, &snapshot);
	return !strcmp(snapshot.phase, "run");
}

/* CPU time of a guest's VMM, vCPU included, in ns. */
static u64 vmm_cpu_ns(struct balloon_bench *at, u32 guest)
{
	static struct guest_snapshot snapshot;
	struct timespec time;
	clockid_t clock;

	manager_guest_snapshot(at->manager, guest, &snapshot);
	if (clock_getcpuclockid(snapshot.pid, &clock) || clock_gettime(clock, &time))
		return 0;
	return (u64)time.tv_sec * NSEC_PER_SEC + (u64)time.tv_nsec;
}

static int start(struct balloon_bench *at)
{
	u64 deadline = clock_now_ns() + PATIENCE;
	int err = manager_create(&at->host, &at->manager);

	if (err)
		return bench_fail(at->bench, err, "no manager: %s", strerror(-err));
	err = manager_start_guests(at->manager);
	for (u32 i = 0; i < at->host.guest_count && !err; i++)
		while (!running(at, i) && !err) {
			manager_serve(at->manager, 10);
			if (clock_now_ns() > deadline)
				err = -ETIME;
		}
	if (err)
		bench_fail(at->bench, err, "its guests do not run");
	return err;
}

static void stop(struct balloon_bench *at)
{
	u64 deadline = clock_now_ns() + PATIENCE;

	if (!at->manager)
		return;
	manager_stop_guests(at->manager, true, "measured");
	while (manager_serve(at->manager, 10) > 0 && clock_now_ns() < deadline)
		;
	manager_destroy(at->manager);
}

/* Serves until the balloon has reached its target. */
static int await(struct balloon_bench *at, u32 guest, u64 bytes)
{
	u64 deadline = clock_now_ns() + PATIENCE;

	while (actual(at, guest) != bytes) {
		manager_serve(at->manager, 1);
		if (clock_now_ns() > deadline)
			return bench_fail(at->bench, -ETIME,
					  "the balloon stopped at %lu of %lu MiB",
					  actual(at, guest) / MiB, bytes / MiB);
	}
	return 0;
}

static int move(struct balloon_bench *at, u64 bytes, const char *what, const char *how)
{
	bool inflate = bytes;
	u64 size = inflate ? bytes : actual(at, 0);
	u64 vmm = vmm_cpu_ns(at, 0), manager = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	u64 began = clock_now_ns();
	double gib = (double)size / GiB;
	int err = manager_set_balloon(at->manager, 0, bytes);

	if (!err)
		err = await(at, 0, bytes);
	if (err)
		return err;
	bench_put(at->bench, gib / ((double)(clock_now_ns() - began) / NSEC_PER_SEC), -1, "GiB/s",
		  "balloon.%s.%s", what, how);
	bench_put(at->bench, (double)(vmm_cpu_ns(at, 0) - vmm) / NSEC_PER_MSEC / gib, -1, "ms/GiB",
		  "balloon.%s.%s.cpu.vmm", what, how);
	bench_put(at->bench,
		  (double)(clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - manager) / NSEC_PER_MSEC / gib,
		  -1, "ms/GiB", "balloon.%s.%s.cpu.manager", what, how);
	return 0;
}

/* What the memory is like that moves. */
static const struct kind {
	const char *name, *args;
	bool huge;
} kinds[] = {
	{"4k.untouched", "free=untouched", false},
	{"2m.untouched", "free=untouched", true},
	{"4k.touched", "free=touched", false},
	{"2m.touched", "free=touched", true},
	{"4k.scattered", "free=touched scatter=yes", false},
};

static int measure(struct bench *bench, u64 bytes, const struct kind *kind)
{
	struct balloon_bench at = {.bench = bench};
	int err;

	describe(&at, 1, bytes, kind->huge, kind->args);
	err = start(&at);
	if (!err)
		err = move(&at, bytes, "inflate", kind->name);
	if (!err)
		err = move(&at, 0, "deflate", kind->name);
	stop(&at);
	return err;
}

/* One guest is full, the other's balloon is: the first gives, the second gets. */
static int hand_over(struct bench *bench, u64 bytes)
{
	struct balloon_bench at = {.bench = bench};
	u64 began;
	int err;

	describe(&at, 2, bytes, true, "free=touched");
	at.guests[1].balloon_target = bytes;
	snprintf(at.guests[1].args, sizeof(at.guests[1].args), "fill=1%% report=no");
	err = start(&at);
	if (!err)
		err = await(&at, 1, bytes);
	began = clock_now_ns();
	if (!err)
		err = manager_set_balloon(at.manager, 0, bytes);
	if (!err)
		err = await(&at, 0, bytes);
	if (!err)
		err = manager_set_balloon(at.manager, 1, 0);
	if (!err)
		err = await(&at, 1, 0);
	if (!err)
		bench_put(bench, (double)(clock_now_ns() - began) / NSEC_PER_MSEC * GiB / bytes, -1,
			  "ms/GiB", "balloon.hand-over");
	stop(&at);
	return err;
}

int balloon_round(struct bench *bench)
{
	u64 bytes = bench->options.quick ? 256 * MiB : GiB;
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(kinds) && !err; i++)
		err = measure(bench, bytes, &kinds[i]);
	return err ? err : hand_over(bench, bytes);
}
