/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU time a page that leaves: ours into the pool, the kernel's into zram (MADV_PAGEOUT), with small
 * pages and with huge ones; and how small the pages become.
 */
#include <errno.h>
#include <string.h>

#include "bench/cases.h"
#include "bench/peer.h"
#include "bench/plain.h"
#include "bench/rig.h"
#include "swap/swap.h"

#define GUEST_BYTES (96 * MiB)

static int measure_ours(struct bench *bench, const struct content *content, bool huge)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = huge};
	const char *pages = huge ? "huge" : "small";
	struct swap_stats stats;
	struct rig rig;
	double began;
	u64 gone;
	int err = rig_start(bench, &options, &rig);

	if (err)
		return err;
	content_fill(content, rig.ram.base, REGION_PAGES, rig.pages);
	began = plain_cpu_us();
	gone = rig_evict(&rig, 1, rig.space->region_count, UINT32_MAX);
	bench_put(bench, (plain_cpu_us() - began) / (double)MAX(gone, 1UL), -1, "us/page",
		  "swapout.%s.ours", pages);
	swap_stats(rig.swap, &stats);
	bench_put(bench, (double)(stats.pool_pages * PAGE_SIZE) / (double)stats.pool_bytes, -1, "x",
		  "swapout.%s.compression.ours", pages);
	rig_stop(&rig);
	return 0;
}

static int measure_kernel(struct bench *bench, const struct content *content, bool huge)
{
	const char *pages = huge ? "huge" : "small";
	struct peer_usage before, after;
	struct ram ram;
	double cpu, gone;
	int err = plain_map(bench, content, GUEST_BYTES, huge, &ram);

	if (err)
		return err;
	err = peer_usage(&before);
	cpu = plain_cpu_us();
	if (!err)
		err = plain_evict(bench, &ram);
	cpu = plain_cpu_us() - cpu;
	if (!err)
		err = peer_usage(&after);
	if (!err) {
		gone = (double)(after.stored_bytes - before.stored_bytes);
		bench_put(bench, cpu / (gone / PAGE_SIZE), -1, "us/page", "swapout.%s.kernel",
			  pages);
		bench_put(bench, gone / (double)(after.used_bytes - before.used_bytes), -1, "x",
			  "swapout.%s.compression.kernel", pages);
	}
	ram_unmap(&ram);
	return err;
}

int swapout_round(struct bench *bench)
{
	struct content content;
	int err = content_open(bench, &content);

	for (u32 huge = 0; huge < 2 && !err; huge++) {
		const char *pages = huge ? "huge" : "small";

		err = measure_ours(bench, &content, huge);
		if (!err)
			err = measure_kernel(bench, &content, huge);
		if (!err)
			bench_put(bench,
				  bench_last(bench, "swapout.%s.kernel", pages) /
					  bench_last(bench, "swapout.%s.ours", pages),
				  -1, "x", "swapout.%s.gain", pages);
	}
	return err;
}
