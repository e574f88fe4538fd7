/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equal pages become one: CPU time until 95 % of the duplicates are merged, CPU time of looking again at what
 * nobody wrote, and what is saved; the same bytes by our scanner and by the kernel's KSM. Half of memory has
 * a twin, page by page (interleaved with pages that have none), or in runs of 16. Each page starts with
 * a number, so only twins are alike.
 */
#include "ksm/ksm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/kernel_ksm.h"
#include "bench/rig.h"
#include "lib/clock.h"

#define GUEST_BYTES (96 * MiB)
#define PAGES	    (GUEST_BYTES / PAGE_SIZE)
#define TWINS	    (PAGES / 4) /* pages that go when all is merged */
#define PATIENCE_S  30
#define RESCANS	    5

/* Page i of the second half is like that of the first, in every other run of this many pages. */
static void fill(u8 *base, u64 run)
{
	for (u64 i = 0; i < PAGES; i++) {
		u64 *words = (u64 *)(base + i * PAGE_SIZE);
		bool twin = i >= PAGES / 2 && i / run % 2;
		u64 number = twin ? i - PAGES / 2 : i;

		for (u64 j = 0; j < PAGE_SIZE / 8; j++)
			words[j] = (number + 1) * 0x9e3779b97f4a7c15ULL + j * j;
	}
}

static void put_ratio(struct bench *bench, const char *what, const char *name)
{
	double ours = bench_last(bench, "ksm.%s.%s.ballast", what, name);
	double kernels = bench_last(bench, "ksm.%s.%s.kernel", what, name);

	if (kernels > 0)
		bench_put(bench, ours / kernels, -1, "x", "ksm.%s.%s.ratio", what, name);
}

static int measure_ours(struct bench *bench, u64 run, const char *name)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .shares = true};
	u64 began = clock_now_ns(), cpu;
	struct ksm_stats stats = {0};
	struct rig rig;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	fill(rig.ram.base, run);
	while (stats.pages_sharing < TWINS / 100 * 95 &&
	       clock_now_ns() - began < PATIENCE_S * NSEC_PER_SEC) {
		ksm_scan(rig.ksm, 20000);
		ksm_stats(rig.ksm, &stats);
	}
	bench_put(bench, (double)stats.cpu_ns / 1e3, -1, "us", "ksm.merge.%s.ballast", name);
	bench_put(bench, (double)stats.pages_sharing, -1, "pages", "ksm.merged.%s.ballast", name);
	for (u32 i = 0; i < 3; i++)
		while (!ksm_scan(rig.ksm, 20000))
			;
	ksm_stats(rig.ksm, &stats);
	bench_put(bench, (double)stats.general_profit / MiB, -1, "MiB", "ksm.profit.%s.ballast",
		  name);
	cpu = stats.cpu_ns;
	for (u32 i = 0; i < RESCANS; i++)
		while (!ksm_scan(rig.ksm, PAGES))
			;
	ksm_stats(rig.ksm, &stats);
	bench_put(bench, (double)(stats.cpu_ns - cpu) / 1e3 / RESCANS, -1, "us",
		  "ksm.rescan.%s.ballast", name);
	rig_stop(&rig);
	return 0;
}

/* The first look at memory that is like nothing: what reading, hashing and looking up cost. */
static int measure_scan(struct bench *bench)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .shares = true};
	struct ksm_stats stats;
	struct rig rig;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	fill(rig.ram.base, 2 * PAGES);
	while (!ksm_scan(rig.ksm, 20000))
		;
	ksm_stats(rig.ksm, &stats);
	bench_put(bench, (double)stats.pages_scanned * 1e9 / (double)stats.cpu_ns, -1, "pages/s",
		  "ksm.scan.unique.ballast");
	rig_stop(&rig);
	return 0;
}

static u8 *map_mergeable(struct bench *bench, u64 run)
{
	u8 *base =
		mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED) {
		bench_fail(bench, -errno, "no memory: %s", strerror(errno));
		return NULL;
	}
	madvise(base, GUEST_BYTES, MADV_NOHUGEPAGE);
	fill(base, run);
	return base;
}

static void await_full_scans(u64 more)
{
	u64 until = kernel_ksm_read("full_scans") + more, began = clock_now_ns();

	while (kernel_ksm_read("full_scans") < until &&
	       clock_now_ns() - began < PATIENCE_S * NSEC_PER_SEC)
		usleep(2000);
}

static int measure_kernels(struct bench *bench, u64 run, const char *name, bool smart)
{
	const char *rescan = smart ? "ksm.rescan.%s.kernel-smart" : "ksm.rescan.%s.kernel";
	u8 *base = map_mergeable(bench, run);
	struct kernel_ksm ksm;
	u64 began = clock_now_ns(), scanned, scans;
	double cpu, scan_cpu;
	int err = base ? kernel_ksm_start(bench, &ksm, smart) : -ENOMEM;

	if (err)
		return err;
	cpu = kernel_ksm_cpu_us(&ksm);
	scanned = kernel_ksm_read("pages_scanned");
	madvise(base, GUEST_BYTES, MADV_MERGEABLE);
	while (kernel_ksm_read("pages_sharing") < TWINS / 100 * 95 &&
	       clock_now_ns() - began < PATIENCE_S * NSEC_PER_SEC)
		usleep(2000);
	scan_cpu = kernel_ksm_cpu_us(&ksm) - cpu;
	if (!smart) {
		bench_put(bench, scan_cpu, -1, "us", "ksm.merge.%s.kernel", name);
		bench_put(bench, (double)kernel_ksm_read("pages_sharing"), -1, "pages",
			  "ksm.merged.%s.kernel", name);
		scanned = kernel_ksm_read("pages_scanned") - scanned;
		bench_put(bench, (double)scanned * 1e6 / scan_cpu, -1, "pages/s",
			  "ksm.scan.%s.kernel", name);
	}
	await_full_scans(smart ? 12 : 3);
	if (!smart)
		bench_put(bench, (double)(s64)kernel_ksm_read("general_profit") / MiB, -1, "MiB",
			  "ksm.profit.%s.kernel", name);
	cpu = kernel_ksm_cpu_us(&ksm);
	scans = kernel_ksm_read("full_scans");
	await_full_scans(RESCANS);
	scans = kernel_ksm_read("full_scans") - scans;
	cpu = kernel_ksm_cpu_us(&ksm) - cpu;
	if (scans)
		bench_put(bench, cpu / (double)scans, -1, "us", rescan, name);
	kernel_ksm_stop(&ksm);
	munmap(base, GUEST_BYTES);
	return 0;
}

int ksm_round(struct bench *bench)
{
	static const struct {
		u64 run;
		const char *name;
	} kinds[] = {{1, "interleaved"}, {16, "runs"}};
	int err = measure_scan(bench);

	for (u32 i = 0; i < ARRAY_SIZE(kinds) && !err; i++) {
		err = measure_ours(bench, kinds[i].run, kinds[i].name);
		if (!err)
			err = measure_kernels(bench, kinds[i].run, kinds[i].name, false);
		if (!err)
			err = measure_kernels(bench, kinds[i].run, kinds[i].name, true);
		if (!err) {
			put_ratio(bench, "merge", kinds[i].name);
			put_ratio(bench, "rescan", kinds[i].name);
		}
	}
	return err;
}
