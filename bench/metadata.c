/* SPDX-License-Identifier: Apache-2.0 */
/* What knowing about a guest page costs, as charged to the budget and as the kernel sees it. */
#include <stdio.h>

#include "bench/cases.h"
#include "bench/content.h"
#include "bench/rig.h"
#include "swap/swap.h"

#define GUEST_BYTES (256 * MiB)

/* Private memory of this process in bytes. */
static u64 anonymous_bytes(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * KiB;
}

/* All that the budget is charged with and is neither a guest's page nor a blob's slab. */
static u64 charged(const struct rig *rig, const struct swap_stats *stats)
{
	return rig->memory.budget.used - stats->pool_bytes -
	       page_table_count(&rig->space->table, PAGE_RESIDENT) * PAGE_SIZE;
}

int metadata_round(struct bench *bench)
{
	/* The pool is a host's by default; guests that exceed the host's memory make it less a page. */
	struct rig_options options = {
		.bytes = GUEST_BYTES, .huge_pages = true, .pool = GUEST_BYTES / 5, .share = true};
	struct content content;
	struct swap_stats stats;
	struct rig rig;
	u64 before, after;
	int err = content_open(bench, &content);

	if (err)
		return err;
	before = anonymous_bytes();
	err = rig_start(bench, &options, &rig);
	if (err)
		return err;
	content_fill(&content, rig.ram.base, REGION_PAGES, rig.pages);
	rig_evict(&rig, 1, rig.space->region_count, UINT32_MAX);
	swap_stats(rig.swap, &stats);
	after = anonymous_bytes();
	bench_put(bench, (double)charged(&rig, &stats) / (double)rig.pages, -1, "B/page",
		  "metadata.page");
	bench_put(bench, (double)memory_metadata_bytes(&rig.memory) / (double)rig.pages, -1,
		  "B/page", "metadata.page.descriptors");
	bench_put(bench,
		  (double)((s64)(after - before) - (s64)stats.pool_bytes) / (double)rig.pages, -1,
		  "B/page", "metadata.page.process");
	rig_stop(&rig);
	return 0;
}
