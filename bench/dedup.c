/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that leave while their content is stored already, against pages that are compressed: the same
 * bytes, first for the one half of a guest, then for the other.
 */
#include <string.h>

#include "bench/cases.h"
#include "bench/content.h"
#include "bench/plain.h"
#include "bench/rig.h"
#include "lib/clock.h"
#include "swap/swap.h"

#define HALF_REGIONS 24U
#define GUEST_BYTES  ((2 * HALF_REGIONS + 1) * REGION_SIZE)

/* Real bytes, but a number on each page: the data repeat themselves here and there. */
static void fill(struct rig *rig, const struct content *content, u64 first_region)
{
	u64 first = first_region * REGION_PAGES;

	content_fill(content, rig->ram.base + first * PAGE_SIZE, 0, HALF_REGIONS * REGION_PAGES);
	for (u64 i = 0; i < HALF_REGIONS * REGION_PAGES; i++)
		memcpy(rig->ram.base + (first + i) * PAGE_SIZE, &i, sizeof(i));
}

static void evict_half(struct bench *bench, struct rig *rig, u64 first_region, const char *pages,
		       const char *kind)
{
	double cpu = plain_cpu_us(), rate;
	u64 began = clock_now_ns(), gone;

	gone = rig_evict(rig, first_region, first_region + HALF_REGIONS, UINT32_MAX);
	rate = (double)gone * NSEC_PER_SEC / (double)(clock_now_ns() - began);
	cpu = plain_cpu_us() - cpu;
	bench_put(bench, rate, -1, "pages/s", "dedup.%s.%s", pages, kind);
	bench_put(bench, cpu / (double)MAX(gone, 1UL), -1, "us/page", "dedup.%s.%s.cpu", pages,
		  kind);
}

/* What looking for twins costs where there are none: the same with the feature off. */
static int measure_off(struct bench *bench, const struct content *content, bool huge)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = huge};
	const char *pages = huge ? "huge" : "small";
	struct rig rig;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	fill(&rig, content, 1);
	evict_half(bench, &rig, 1, pages, "off");
	bench_put(bench,
		  bench_last(bench, "dedup.%s.unique.cpu", pages) /
			  bench_last(bench, "dedup.%s.off.cpu", pages),
		  -1, "x", "dedup.%s.cost", pages);
	rig_stop(&rig);
	return 0;
}

static int measure(struct bench *bench, const struct content *content, bool huge)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = huge, .share = true};
	const char *pages = huge ? "huge" : "small";
	struct swap_stats once, twice;
	struct rig rig;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	fill(&rig, content, 1);
	fill(&rig, content, 1 + HALF_REGIONS);
	evict_half(bench, &rig, 1, pages, "unique");
	swap_stats(rig.swap, &once);
	evict_half(bench, &rig, 1 + HALF_REGIONS, pages, "duplicate");
	swap_stats(rig.swap, &twice);
	/* By CPU time: one thread does it all, and how much of a processor it got is chance. */
	bench_put(bench,
		  bench_last(bench, "dedup.%s.unique.cpu", pages) /
			  bench_last(bench, "dedup.%s.duplicate.cpu", pages),
		  -1, "x", "dedup.%s.gain", pages);
	bench_put(bench, (double)twice.dedup_hits / (HALF_REGIONS * REGION_PAGES), -1, "x",
		  "dedup.%s.found", pages);
	bench_put(bench, (double)twice.pool_bytes / (double)once.pool_bytes, -1, "x",
		  "dedup.%s.footprint", pages);
	bench_put(bench, (double)twice.shared_saved_bytes / (double)twice.dedup_bytes, -1, "x",
		  "dedup.%s.saved-by-metadata", pages);
	rig_stop(&rig);
	return 0;
}

int dedup_round(struct bench *bench)
{
	struct content content;
	int err = content_open(bench, &content);

	for (u32 huge = 0; huge < 2 && !err; huge++) {
		err = measure(bench, &content, huge);
		if (!err)
			err = measure_off(bench, &content, huge);
	}
	return err;
}
