/* SPDX-License-Identifier: Apache-2.0 */
/* How fast memory leaves: whole regions by what they hold, and single groups of small pages. */
#include <stdlib.h>

#include "bench/cases.h"
#include "bench/plain.h"
#include "bench/rig.h"
#include "lib/clock.h"
#include "mem/evict.h"

#define GUEST_BYTES (96 * MiB)
#define REGIONS	    (GUEST_BYTES / REGION_SIZE)

#define SCANNED 8U /* regions */

enum kind { KIND_ZERO, KIND_SAME, KIND_SAME_CACHED, KIND_DATA };

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void fill(struct rig *rig, const struct content *content, enum kind kind)
{
	if (kind == KIND_DATA)
		content_fill(content, rig->ram.base, REGION_PAGES, rig->pages);
	else if (kind == KIND_SAME || kind == KIND_SAME_CACHED)
		content_fill_same(rig->ram.base, REGION_PAGES, rig->pages);
	else /* reading brings a zero page, or a whole region of them */
		for (u64 i = REGION_PAGES; i < rig->pages; i++)
			(void)*(volatile u8 *)(rig->ram.base + i * PAGE_SIZE);
}

static u32 scan(const struct rig *rig, u64 region)
{
	const u8 *page = rig->ram.base + region * REGION_SIZE;
	u32 same = 0;

	for (u64 i = 0; i < REGION_PAGES; i++)
		same += content_same_filled(page + i * PAGE_SIZE);
	return same;
}

/* What it takes only to see that a region is same-filled: when it is in no cache, the floor; and when
 * it is (one region, again and again). */
static double scan_us(const struct rig *rig, bool cached)
{
	volatile u32 same = cached ? scan(rig, 1) : 0;
	u64 began = clock_now_ns();

	for (u64 i = 0; i < SCANNED; i++)
		same += scan(rig, cached ? 1 : 1 + i);
	return (double)(clock_now_ns() - began) / 1000 / SCANNED;
}

/* ... and only to read it, once, in the simplest way. */
static double read_us(const struct rig *rig)
{
	const u64 *word = (const u64 *)(rig->ram.base + (1 + SCANNED) * REGION_SIZE);
	u64 sums[4] = {0}, began = clock_now_ns();
	volatile u64 keep;

	for (u64 i = 0; i < SCANNED * REGION_SIZE / sizeof(*word); i += 4)
		for (u32 j = 0; j < 4; j++)
			sums[j] += word[i + j];
	keep = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
	(void)keep;
	return (double)(clock_now_ns() - began) / 1000 / SCANNED;
}

static int measure_regions(struct bench *bench, const struct content *content, enum kind kind,
			   const char *name)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = true};
	double us[REGIONS], cpu;
	u64 count = 0, gone = 0;
	struct rig rig;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	fill(&rig, content, kind);
	if (kind == KIND_SAME) {
		bench_put(bench, scan_us(&rig, false), -1, "us", "evict.region.%s.scan", name);
		bench_put(bench, scan_us(&rig, true), -1, "us", "evict.region.%s.scan.cached",
			  name);
		bench_put(bench, read_us(&rig), -1, "us", "evict.region.%s.read", name);
	}
	cpu = plain_cpu_us();
	for (u64 i = 1; i < REGIONS; i++) {
		volatile u32 cached = kind == KIND_SAME_CACHED ? scan(&rig, i) : 0;
		u64 began = clock_now_ns();

		(void)cached;
		gone += rig_evict(&rig, i, i + 1, UINT32_MAX);
		us[count++] = (double)(clock_now_ns() - began) / 1000;
	}
	cpu = plain_cpu_us() - cpu;
	qsort(us, count, sizeof(*us), compare);
	bench_put(bench, us[count / 2], us[count - 1], "us", "evict.region.%s", name);
	bench_put(bench, cpu / (double)MAX(gone, 1UL), -1, "us/page", "evict.region.%s.cpu", name);
	rig_stop(&rig);
	return 0;
}

/* A group of each region in turn, as when memory is part hot, part cold. */
static int measure_groups(struct bench *bench, const struct content *content)
{
	struct rig_options options = {.bytes = GUEST_BYTES};
	u64 gone = 0, began, ns;
	struct rig rig;
	double cpu;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	fill(&rig, content, KIND_DATA);
	cpu = plain_cpu_us();
	began = clock_now_ns();
	for (u32 group = 0; group < 8; group++)
		gone += rig_evict(&rig, 1, REGIONS, 1U << (group * 4));
	ns = clock_now_ns() - began;
	cpu = plain_cpu_us() - cpu;
	bench_put(bench, (double)gone * 1e9 / (double)ns, -1, "pages/s", "evict.group.rate");
	bench_put(bench, cpu / (double)MAX(gone, 1UL), -1, "us/page", "evict.group.cpu");
	rig_stop(&rig);
	return 0;
}

int evict_round(struct bench *bench)
{
	struct content content;
	int err = content_open(bench, &content);

	if (!err)
		err = measure_regions(bench, &content, KIND_SAME, "same-filled");
	if (!err)
		err = measure_regions(bench, &content, KIND_SAME_CACHED, "same-filled.cached");
	if (!err)
		err = measure_regions(bench, &content, KIND_ZERO, "zero");
	if (!err)
		err = measure_regions(bench, &content, KIND_DATA, "compressible");
	return err ? err : measure_groups(bench, &content);
}
