/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equal pages become one: CPU time until 95 % of the duplicates are merged, CPU time of looking again at what
 * nobody wrote, and what is saved; the same bytes by our scanner and by the kernel's KSM. Half of memory has
 * a twin, page by page (interleaved with pages that have none), or in runs of 16. Each page starts with
 * a number, so only twins are alike. Merging is measured of a guest at rest and of one that runs: then what takes a page from
 * it has to tell the processor that runs it. And what it takes to end such a guest. Memory is in small pages on both sides; looking
 * at it is measured on huge ones, too, which is what guests have as a rule.
 */
#include "ksm/ksm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/kernel_ksm.h"
#include "bench/rig.h"
#include "lib/clock.h"

#define MERGE_BYTES (1 * GiB)
#define SCAN_BYTES  (512 * MiB) /* what is looked up is larger than a processor's caches then */
#define PAGES	    (MERGE_BYTES / PAGE_SIZE)
#define TWINS	    (PAGES / 4) /* pages that go when all is merged */
#define PATIENCE_S  30
#define RESCANS	    5

struct kind {
	const char *name;
	u64 bytes;
	u64 run;      /* pages; 0: none has a twin */
	bool running; /* its guest computes meanwhile: only merging is measured */
	bool huge;    /* its memory is in huge pages */
};

/* Page i of the second half is like that of the first, in every other run of so many pages. */
static void fill(u8 *base, const struct kind *kind)
{
	u64 pages = kind->bytes / PAGE_SIZE;

	for (u64 i = 0; i < pages; i++) {
		u64 *words = (u64 *)(base + i * PAGE_SIZE);
		bool twin = kind->run && i >= pages / 2 && i / kind->run % 2;
		u64 number = twin ? i - pages / 2 : i;

		for (u64 j = 0; j < PAGE_SIZE / 8; j++)
			words[j] = (number + 1) * 0x9e3779b97f4a7c15ULL + j * j;
	}
}

static void put_ratio(struct bench *bench, const char *what, const struct kind *kind)
{
	double ours = bench_last(bench, "ksm.%s.%s.ballast", what, kind->name);
	double kernels = bench_last(bench, "ksm.%s.%s.kernel", what, kind->name);

	if (kernels > 0)
		bench_put(bench, ours / kernels, -1, "x", "ksm.%s.%s.ratio", what, kind->name);
}

/* A guest that computes: a thread with its memory on a processor. */
struct runner {
	pthread_t thread;
	bool runs;
	_Atomic bool stop;
};

static void *compute(void *argument)
{
	struct runner *runner = argument;

	for (volatile u64 sum = 0; !atomic_load_explicit(&runner->stop, memory_order_relaxed);)
		sum = sum + 1;
	return NULL;
}

static void begin_run(struct runner *runner, const struct kind *kind)
{
	*runner = (struct runner){.runs = kind->running};
	if (runner->runs)
		runner->runs = !pthread_create(&runner->thread, NULL, compute, runner);
}

static void end_run(struct runner *runner)
{
	atomic_store(&runner->stop, true);
	if (runner->runs)
		pthread_join(runner->thread, NULL);
}

static int start_ours(struct bench *bench, const struct kind *kind, struct rig *rig)
{
	struct rig_options options = {
		.bytes = kind->bytes, .shares = true, .huge_pages = kind->huge};
	int err = rig_start(bench, &options, rig);

	if (!err)
		fill(rig->ram.base, kind);
	return err;
}

static void scan_ours(struct rig *rig, u32 times)
{
	for (u32 i = 0; i < times; i++)
		while (!ksm_scan(rig->ksm, 20000))
			;
}

static void merge_ours(struct bench *bench, const struct kind *kind, struct rig *rig)
{
	struct ksm_stats stats = {0};
	u64 began = clock_now_ns();
	struct runner runner;

	begin_run(&runner, kind);
	while (stats.pages_sharing < TWINS / 100 * 95 &&
	       clock_now_ns() - began < PATIENCE_S * NSEC_PER_SEC) {
		ksm_scan(rig->ksm, 20000);
		ksm_stats(rig->ksm, &stats);
	}
	end_run(&runner);
	bench_put(bench, (double)stats.cpu_ns / 1e3, -1, "us", "ksm.merge.%s.ballast", kind->name);
	bench_put(bench, (double)stats.pages_sharing, -1, "pages", "ksm.merged.%s.ballast",
		  kind->name);
}

/* When all is merged. */
static void rest_of_ours(struct bench *bench, const struct kind *kind, struct rig *rig)
{
	struct ksm_stats stats;
	u64 cpu;

	scan_ours(rig, 3);
	ksm_stats(rig->ksm, &stats);
	bench_put(bench, (double)stats.general_profit / MiB, -1, "MiB", "ksm.profit.%s.ballast",
		  kind->name);
	cpu = stats.cpu_ns;
	for (u32 i = 0; i < RESCANS; i++)
		while (!ksm_scan(rig->ksm, PAGES))
			;
	ksm_stats(rig->ksm, &stats);
	bench_put(bench, (double)(stats.cpu_ns - cpu) / 1e3 / RESCANS, -1, "us",
		  "ksm.rescan.%s.ballast", kind->name);
}

static int measure_ours(struct bench *bench, const struct kind *kind)
{
	struct rig rig;
	u64 began;
	int err = start_ours(bench, kind, &rig);

	if (err)
		return err;
	merge_ours(bench, kind, &rig);
	if (!kind->running)
		rest_of_ours(bench, kind, &rig);
	began = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	rig_stop(&rig);
	bench_put(bench, (double)(clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - began) / 1e3, -1, "us",
		  "ksm.end.%s.ballast", kind->name);
	return 0;
}

/* Looking twice at memory that is like nothing: what reading, hashing and looking up cost. */
static int scan_unique_ours(struct bench *bench, const struct kind *kind)
{
	struct ksm_stats stats;
	struct rig rig;
	int err = start_ours(bench, kind, &rig);

	if (err)
		return err;
	scan_ours(&rig, 2);
	ksm_stats(rig.ksm, &stats);
	bench_put(bench, (double)stats.pages_scanned * 1e9 / (double)stats.cpu_ns, -1, "pages/s",
		  "ksm.scan.%s.ballast", kind->name);
	rig_stop(&rig);
	return 0;
}

/* A guest of the kernel's. */
struct mergeable {
	u8 *base;
	u64 bytes;
	struct kernel_ksm ksm;
	double began_us; /* what its thread had used */
};

static int start_kernels(struct bench *bench, const struct kind *kind, bool smart,
			 struct mergeable *guest)
{
	int err;

	guest->bytes = kind->bytes;
	guest->base = mmap(NULL, guest->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	if (guest->base == MAP_FAILED) {
		bench_fail(bench, -errno, "no memory: %s", strerror(errno));
		return -ENOMEM;
	}
	madvise(guest->base, guest->bytes, kind->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	fill(guest->base, kind);
	err = kernel_ksm_start(bench, &guest->ksm, smart);
	if (err) {
		munmap(guest->base, guest->bytes);
		return err;
	}
	guest->began_us = kernel_ksm_cpu_us(&guest->ksm);
	madvise(guest->base, guest->bytes, MADV_MERGEABLE);
	return 0;
}

static void stop_kernels(struct mergeable *guest)
{
	kernel_ksm_stop(&guest->ksm);
	munmap(guest->base, guest->bytes);
}

static void await(const char *figure, u64 wanted)
{
	u64 began = clock_now_ns();

	while (kernel_ksm_read(figure) < wanted &&
	       clock_now_ns() - began < PATIENCE_S * NSEC_PER_SEC)
		usleep(2000);
}

static void await_full_scans(u64 more)
{
	await("full_scans", kernel_ksm_read("full_scans") + more);
}

static void merge_kernels(struct bench *bench, const struct kind *kind, struct mergeable *guest)
{
	struct runner runner;
	double cpu_us;

	begin_run(&runner, kind);
	await("pages_sharing", TWINS / 100 * 95);
	cpu_us = kernel_ksm_cpu_us(&guest->ksm) - guest->began_us;
	end_run(&runner);
	bench_put(bench, cpu_us, -1, "us", "ksm.merge.%s.kernel", kind->name);
	bench_put(bench, (double)kernel_ksm_read("pages_sharing"), -1, "pages",
		  "ksm.merged.%s.kernel", kind->name);
}

static void rescan_kernels(struct bench *bench, const struct kind *kind, struct mergeable *guest,
			   const char *figure)
{
	double cpu_us = kernel_ksm_cpu_us(&guest->ksm);
	u64 scans = kernel_ksm_read("full_scans");

	await_full_scans(RESCANS);
	scans = kernel_ksm_read("full_scans") - scans;
	cpu_us = kernel_ksm_cpu_us(&guest->ksm) - cpu_us;
	if (scans)
		bench_put(bench, cpu_us / (double)scans, -1, "us", "ksm.rescan.%s.%s", kind->name,
			  figure);
}

static int measure_kernels(struct bench *bench, const struct kind *kind)
{
	struct mergeable guest;
	int err = start_kernels(bench, kind, false, &guest);

	if (err)
		return err;
	merge_kernels(bench, kind, &guest);
	if (!kind->running) {
		await_full_scans(3);
		bench_put(bench, (double)(s64)kernel_ksm_read("general_profit") / MiB, -1, "MiB",
			  "ksm.profit.%s.kernel", kind->name);
		rescan_kernels(bench, kind, &guest, "kernel");
	}
	stop_kernels(&guest);
	return 0;
}

/* With smart_scan. */
static int measure_smart(struct bench *bench, const struct kind *kind)
{
	struct mergeable guest;
	int err = start_kernels(bench, kind, true, &guest);

	if (err)
		return err;
	await("pages_sharing", TWINS / 100 * 95);
	await_full_scans(12);
	rescan_kernels(bench, kind, &guest, "kernel-smart");
	stop_kernels(&guest);
	return 0;
}

static int scan_unique_kernels(struct bench *bench, const struct kind *kind)
{
	u64 scanned = kernel_ksm_read("pages_scanned");
	struct mergeable guest;
	int err = start_kernels(bench, kind, false, &guest);
	double cpu_us;

	if (err)
		return err;
	await_full_scans(2);
	cpu_us = kernel_ksm_cpu_us(&guest.ksm) - guest.began_us;
	scanned = kernel_ksm_read("pages_scanned") - scanned;
	bench_put(bench, (double)scanned * 1e6 / cpu_us, -1, "pages/s", "ksm.scan.%s.kernel",
		  kind->name);
	stop_kernels(&guest);
	return 0;
}

static int measure(struct bench *bench, const struct kind *kind)
{
	int err = measure_ours(bench, kind);

	if (!err)
		err = measure_kernels(bench, kind);
	if (!err)
		put_ratio(bench, "merge", kind);
	if (err || kind->running)
		return err;
	err = measure_smart(bench, kind);
	put_ratio(bench, "rescan", kind);
	return err;
}

static int scan_unique(struct bench *bench, const struct kind *kind)
{
	int err = scan_unique_ours(bench, kind);

	if (!err)
		err = scan_unique_kernels(bench, kind);
	if (!err)
		put_ratio(bench, "scan", kind);
	return err;
}

int ksm_round(struct bench *bench)
{
	static const struct kind unique[] = {
		{.name = "unique", .bytes = SCAN_BYTES},
		{.name = "unique-huge", .bytes = SCAN_BYTES, .huge = true},
	};
	static const struct kind kinds[] = {
		{.name = "interleaved", .bytes = MERGE_BYTES, .run = 1},
		{.name = "interleaved-running", .bytes = MERGE_BYTES, .run = 1, .running = true},
		{.name = "runs", .bytes = MERGE_BYTES, .run = 16},
		{.name = "runs-running", .bytes = MERGE_BYTES, .run = 16, .running = true},
	};
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(unique) && !err; i++)
		err = scan_unique(bench, &unique[i]);
	for (u32 i = 0; i < ARRAY_SIZE(kinds) && !err; i++)
		err = measure(bench, &kinds[i]);
	return err;
}
