/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that has left comes back to a vCPU: ours from the compressed pool, the kernel's from zram.
 * The same virtual machine, content and order of touches; the two take turns.
 */
#include <errno.h>
#include <string.h>

#include "bench/cases.h"
#include "bench/plain.h"
#include "bench/rig.h"
#include "bench/vm.h"
#include "manager/config.h"

#define GUEST_BYTES (96 * MiB)
#define WARM_UP	    300U

static const struct walk {
	const char *name;
	u32 run, count, skip;
} walks[] = {
	{"single", 1, 2000, WARM_UP},
	{"run16", 16, 8192, 1024},
	{"run64", 64, 8192, 1024},
	{"sequential", 0, 16384, 0},
};

struct pair {
	struct bench *bench;
	struct rig rig;
	struct ram plain;
	struct vm ours, kernel;
	struct order order;
};

static int open_pair(struct pair *pair, const struct content *content)
{
	struct rig_options options = {
		.bytes = GUEST_BYTES, .poll_us = CONFIG_FAULT_POLL_US, .huge_pages = true};
	const char *why = "";
	int err = rig_start(pair->bench, &options, &pair->rig);

	if (err)
		return err;
	content_fill(content, pair->rig.ram.base, REGION_PAGES, pair->rig.pages);
	err = plain_map(pair->bench, content, GUEST_BYTES, false, &pair->plain);
	if (err)
		return err;
	err = vm_open(&pair->ours, &pair->rig.ram, &why);
	if (!err)
		err = vm_open(&pair->kernel, &pair->plain, &why);
	return err ? bench_fail(pair->bench, err, "%s: %s", why, strerror(-err)) : 0;
}

/* One walk through one memory; a run is paid for as a whole. */
static int walk_one(struct pair *pair, struct vm *vm, const struct walk *walk, const char *whose)
{
	struct ticks ticks;
	int err;

	if (walk->run == 1)
		order_sparse(&pair->order, REGION_PAGES, (u32)pair->rig.pages, GROUP_PAGES,
			     walk->count, 5);
	else
		order_make(&pair->order, REGION_PAGES, (u32)pair->rig.pages, walk->run, walk->count,
			   5);
	err = vm_touch(vm, &pair->order);
	if (err)
		return err;
	order_sum_up(&pair->order, walk->skip, 0, &ticks);
	bench_put(pair->bench, ticks.p50, ticks.p99, "us/page", "refill.kvm.%s.%s", walk->name,
		  whose);
	return 0;
}

static int walk_both(struct pair *pair, const struct walk *walk)
{
	struct bench *bench = pair->bench;
	double ours, kernel;
	int err;

	rig_evict(&pair->rig, 1, pair->rig.space->region_count, UINT32_MAX);
	err = walk_one(pair, &pair->ours, walk, "ours");
	if (!err)
		err = plain_evict(bench, &pair->plain);
	if (!err)
		err = walk_one(pair, &pair->kernel, walk, "kernel");
	if (err)
		return err;
	ours = bench_last(bench, "refill.kvm.%s.ours", walk->name);
	kernel = bench_last(bench, "refill.kvm.%s.kernel", walk->name);
	if (walk->run == 1)
		bench_put(bench, ours / kernel, -1, "x", "refill.kvm.%s.ratio", walk->name);
	else
		bench_put(bench, kernel / ours, -1, "x", "refill.kvm.%s.gain", walk->name);
	return 0;
}

int refill_round(struct bench *bench)
{
	static struct pair pair;
	struct content content;
	int err = content_open(bench, &content);

	pair.bench = bench;
	if (!err)
		err = open_pair(&pair, &content);
	for (u32 i = 0; i < ARRAY_SIZE(walks) && !err; i++)
		err = walk_both(&pair, &walks[i]);
	return err;
}
