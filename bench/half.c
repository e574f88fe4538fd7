/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults while half of memory fits: pages touched at random, by a thread and by a vCPU, under a budget
 * that lets half of them be resident (the compressed half has room besides, as on the kernel's side,
 * where zram is outside the limit). The kernel reclaims inside the fault once its limit is reached;
 * we do it ahead of need.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/peer.h"
#include "bench/plain.h"
#include "bench/rig.h"
#include "bench/vm.h"
#include "lib/process.h"
#include "manager/config.h"
#include "swap/swap.h"

#define GUEST_BYTES   (128 * MiB)
#define TOUCHES	      24000U
#define WARM_UP	      4000U
#define HOST_FAULT_US 2.0 /* what takes less was no fault */
#define KVM_FAULT_US  8.0
#define KILLS_MAX     24U
#define HOST_SLACK    (4 * MiB)	 /* what the kernel charges besides: page tables */
#define KVM_SLACK     (16 * MiB) /* ... and the virtual machine with its shadow of them */

static struct order order;

/* What the pool takes when all of the guest's memory is in it. */
static int pool_bytes(struct bench *bench, const struct content *content, u64 *bytes)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = true};
	struct swap_stats stats;
	struct rig rig;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	content_fill(content, rig.ram.base, REGION_PAGES, rig.pages);
	rig_evict(&rig, 1, rig.space->region_count, UINT32_MAX);
	swap_stats(rig.swap, &stats);
	*bytes = stats.pool_bytes;
	rig_stop(&rig);
	return 0;
}

static int touch(struct bench *bench, struct vm *vm, const struct ram *ram, bool kvm,
		 const char *whose)
{
	const char *who = kvm ? "kvm" : "host", *why = "";
	struct ticks faults, all;
	int err = 0;

	order_random(&order, REGION_PAGES, GUEST_BYTES / PAGE_SIZE, TOUCHES, 7);
	if (kvm) {
		err = vm_open(vm, ram, &why);
		if (!err)
			err = vm_touch(vm, &order);
		if (err)
			return bench_fail(bench, err, "virtual machine: %s: %s", why,
					  strerror(-err));
		vm_close(vm);
	} else {
		order_touch(&order, ram->base);
	}
	order_sum_up(&order, WARM_UP, kvm ? KVM_FAULT_US : HOST_FAULT_US, &faults);
	order_sum_up(&order, WARM_UP, 0, &all);
	bench_put(bench, faults.p50, faults.p99, "us", "half.%s.fault.%s", who, whose);
	bench_put(bench, faults.p99, -1, "us", "half.%s.p99.%s", who, whose);
	bench_put(bench, all.mean, all.p99, "us", "half.%s.touch.%s", who, whose);
	bench_put(bench, 100.0 * faults.count / all.count, -1, "%", "half.%s.faults.%s", who,
		  whose);
	return 0;
}

static int measure_ours(struct bench *bench, const struct content *content, u64 pool, bool kvm)
{
	u64 need = GUEST_BYTES / 2 + pool / 2 + REGION_SIZE + GUEST_BYTES / 24;
	struct rig_options options = {
		.bytes = GUEST_BYTES,
		/* On top, what reclaim keeps free. */
		.budget = need + need / 24,
		.poll_us = CONFIG_FAULT_POLL_US,
		.huge_pages = true,
		.reclaim = true,
		.disk = bench->options.swap,
	};
	struct rig rig;
	struct vm vm;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	content_fill(content, rig.ram.base, REGION_PAGES, rig.pages);
	err = touch(bench, &vm, &rig.ram, kvm, "ours");
	bench_put(bench,
		  100.0 * (double)page_table_count(&rig.space->table, PAGE_RESIDENT) /
			  (double)rig.pages,
		  -1, "%", "half.%s.resident.ours", kvm ? "kvm" : "host");
	rig_stop(&rig);
	return err;
}

static int measure_kernel(struct bench *bench, const struct content *content, bool kvm)
{
	struct cgroup *cgroup;
	struct ram ram;
	struct vm vm;
	u64 slack = REGION_SIZE + (kvm ? KVM_SLACK : HOST_SLACK);
	int err = peer_limit(GUEST_BYTES / 2 + slack, &cgroup);

	if (err)
		return bench_fail(bench, err, "no memory cgroup: %s", strerror(-err));
	err = plain_map(bench, content, GUEST_BYTES, false, &ram);
	if (!err) {
		err = touch(bench, &vm, &ram, kvm, "kernel");
		ram_unmap(&ram);
	}
	peer_unlimit(cgroup);
	return err;
}

/* The kernel kills now and then what it cannot swap fast enough, with most of its swap free: "memory
 * cgroup out of memory", all pages active. That is counted, and tried again; after KILLS_MAX times
 * this round has nothing to compare with. */
static int outlive_kernel(struct bench *bench, const struct content *content, bool kvm, u32 *kills)
{
	pid_t self = getpid();
	int status;

	for (u32 killed = 0; killed < KILLS_MAX; killed++) {
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (!pid) {
			process_dies_with(self);
			_exit(-measure_kernel(bench, content, kvm) & 0xff);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return -errno;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			continue;
		*kills = killed;
		return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
	}
	*kills = KILLS_MAX;
	return 0;
}

int half_round(struct bench *bench)
{
	struct content content;
	u64 pool = 0;
	int err = content_open(bench, &content);

	if (!err)
		err = pool_bytes(bench, &content, &pool);
	for (u32 kvm = 0; kvm < 2 && !err; kvm++) {
		const char *who = kvm ? "kvm" : "host";
		u32 kills = 0;

		err = measure_ours(bench, &content, pool, kvm);
		if (!err)
			err = outlive_kernel(bench, &content, kvm, &kills);
		if (err)
			break;
		bench_put(bench, kills, -1, "kills", "half.%s.killed.kernel", who);
		if (kills == KILLS_MAX)
			continue;
		bench_put(bench,
			  bench_last(bench, "half.%s.p99.kernel", who) /
				  bench_last(bench, "half.%s.p99.ours", who),
			  -1, "x", "half.%s.p99.gain", who);
	}
	return err;
}
