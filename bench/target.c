/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of targets. */
#include "bench/target.h"

#include <string.h>

static const struct target targets[] = {
	{"fits.kv.ratio", true, 0.97, "a guest whose memory fits loses nothing"},
	{"fits.sweep.ratio", true, 0.97, "a guest whose memory fits loses nothing"},
	{"fits.fill.ratio", true, 0.97, "a guest whose memory fits loses nothing"},
	{"evict.region.same-filled", false, 50, "a whole same-filled region leaves at once"},
	{"evict.region.zero", false, 50, "a whole zero region leaves at once"},
	{"metadata.page", false, 16, "metadata a guest page, everything included"},
	{"pool.overhead", false, 8, "pool above its blobs' bytes"},
	{"fault.host.asleep.compressed.ratio", false, 1.3, "over a bare round trip and LZ4"},
	{"fault.host.polling.compressed.ratio", false, 1.3, "over a bare round trip and LZ4"},
	{"fault.host.same-cpu.compressed.ratio", false, 1.3, "over a bare round trip and LZ4"},
	{"refill.kvm.run16.gain", true, 3, "refill in runs, against the kernel"},
	{"refill.kvm.run64.gain", true, 3, "refill in runs, against the kernel"},
	{"refill.kvm.sequential.gain", true, 3, "refill in runs, against the kernel"},
	{"refill.kvm.single.ratio", false, 2, "single random faults, against the kernel"},
	{"half.kvm.p99.gain", true, 5, "fault tail with half of memory, against the kernel"},
	{"half.host.p99.gain", true, 5, "fault tail with half of memory, against the kernel"},
	{"swapout.small.gain", true, 1.2, "CPU a page swapped out, against the kernel"},
	{"swapout.huge.gain", true, 1.2, "CPU a page swapped out, against the kernel"},
	{"stall.per-1000-pages", false, 1000, "vCPU stall while pages leave"},
	{"disk.write.ratio", true, 0.8, "write-back against raw O_DIRECT writes"},
	{"dedup.small.gain", true, 3, "a duplicate leaves, against a page that is compressed"},
	{"dedup.huge.gain", true, 3, "a duplicate leaves, against a page that is compressed"},
	{"balloon.inflate.2m.touched", true, 20, "blocks of 2 MiB into a balloon"},
	{"balloon.inflate.2m.untouched", true, 20, "blocks of 2 MiB into a balloon"},
	{"balloon.deflate.2m.touched", true, 20, "blocks of 2 MiB out of a balloon"},
	{"balloon.inflate.4k.touched", true, 2, "small pages into a balloon"},
	{"balloon.inflate.4k.untouched", true, 2, "small pages into a balloon"},
	{"balloon.deflate.4k.touched", true, 2, "small pages out of a balloon"},
	{"balance.read.ratio", false, 0.1, "balloons spare nine of ten disk reads"},
	{"balance.settle.with", false, 10, "who works holds its memory within ten seconds"},
	{"many.ok", true, 1, "64 guests of 64 MiB on 2 GiB finish and verify"},
};

const struct target *target_find(const char *metric)
{
	for (u32 i = 0; i < ARRAY_SIZE(targets); i++)
		if (!strcmp(targets[i].metric, metric))
			return &targets[i];
	return NULL;
}

bool target_reached(const struct target *target, double value)
{
	return target->at_least ? value >= target->value : value <= target->value;
}
