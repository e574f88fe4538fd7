/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vCPU loses while other memory of its guest is taken away. It reads a small hot set round and
 * round and adds up the times when it got nowhere for long. The same without eviction, for as long, is
 * taken off: other programs interrupt it as well.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/content.h"
#include "bench/rig.h"
#include "bench/vm.h"
#include "lib/clock.h"

#define GUEST_BYTES  (96 * MiB)
#define HOT_PAGES    64U
#define THRESHOLD_US 10.0

struct watcher {
	struct vm vm;
	struct vm_gaps gaps;
	int err;
	pthread_t thread;
};

static void *watch(void *argument)
{
	const struct sched_param first = {.sched_priority = 1};
	struct watcher *watcher = argument;

	/* Other programs shall not take its processor meanwhile, if that may be had. */
	sched_setscheduler(0, SCHED_FIFO, &first);
	watcher->err = vm_watch(&watcher->vm, REGION_PAGES, HOT_PAGES,
				(u32)(THRESHOLD_US * ticks_per_us()), &watcher->gaps);
	return NULL;
}

static void watch_start(struct watcher *watcher)
{
	*vm_stop_word(&watcher->vm) = 0;
	pthread_create(&watcher->thread, NULL, watch, watcher);
	usleep(20000);
}

/* Us lost since watch_start(). */
static double watch_stop(struct watcher *watcher)
{
	*vm_stop_word(&watcher->vm) = 1;
	pthread_join(watcher->thread, NULL);
	return (double)watcher->gaps.ticks / ticks_per_us();
}

static int touch_all(struct watcher *watcher, u64 pages)
{
	static struct order order;

	order_make(&order, REGION_PAGES, (u32)pages, 0, ORDER_MAX, 1);
	return vm_touch(&watcher->vm, &order);
}

static int measure(struct bench *bench, const struct content *content, bool huge, u32 groups,
		   const char *name)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = huge};
	static struct watcher watcher;
	double lost, base, longest;
	struct rig rig;
	const char *why = "";
	u64 began, gone;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	content_fill(content, rig.ram.base, REGION_PAGES, rig.pages);
	err = vm_open(&watcher.vm, &rig.ram, &why);
	if (!err)
		err = touch_all(&watcher, rig.pages);
	if (err)
		return bench_fail(bench, err, "virtual machine: %s: %s", why, strerror(-err));
	watch_start(&watcher);
	began = clock_now_ns();
	gone = rig_evict(&rig, 2, rig.space->region_count, groups);
	began = clock_now_ns() - began;
	lost = watch_stop(&watcher);
	longest = (double)watcher.gaps.longest / ticks_per_us();
	watch_start(&watcher);
	usleep((useconds_t)(began / NSEC_PER_USEC));
	base = watch_stop(&watcher);
	bench_put(bench, MAX(lost - base, 0.0) * 1000 / (double)MAX(gone, 1UL), longest, "us",
		  "stall.%s", name);
	vm_close(&watcher.vm);
	rig_stop(&rig);
	return 0;
}

int stall_round(struct bench *bench)
{
	struct content content;
	int err = content_open(bench, &content);

	if (!err)
		err = measure(bench, &content, true, UINT32_MAX, "per-1000-pages");
	/* Every other group: nothing contiguous to be had. */
	return err ? err : measure(bench, &content, false, 0x55555555, "groups.per-1000-pages");
}
