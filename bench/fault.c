/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fault costs, by where the page comes from, how memory is walked, and whether the handler
 * sleeps, polls, or shares the CPU; for a thread of the host and for a vCPU. Beside it a bare
 * userfaultfd that fills each page with bytes at hand: what the kernel's mechanism costs by itself.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "bench/bare.h"
#include "bench/cases.h"
#include "bench/content.h"
#include "bench/order.h"
#include "bench/rig.h"
#include "bench/vm.h"
#include "swap/codec.h"

#define GUEST_BYTES (96 * MiB) /* a group each for 1500 single pages */
#define SINGLES	    2000U
#define WARM_UP	    300U
#define LZ4_SAMPLES 1024U

struct walk {
	const char *name;
	u32 run;
	u32 count;
	u32 skip;
};

static const struct walk walks[] = {
	{"single", 1, SINGLES, WARM_UP},
	{"run16", 16, 8192, 1024},
	{"run64", 64, 8192, 1024},
	{"sequential", 0, 16384, 0},
};

/* One configuration of memory, touched in all ways. */
struct subject {
	struct bench *bench;
	struct rig rig;
	struct vm vm;
	bool kvm;
	enum rig_mode mode;
	struct order order;
};

static int touch(struct subject *subject)
{
	if (subject->kvm)
		return vm_touch(&subject->vm, &subject->order);
	order_touch(&subject->order, subject->rig.ram.base);
	return 0;
}

static int open_subject(struct subject *subject, const struct content *content,
			struct rig_options *options)
{
	const char *why = "";
	int err;

	rig_set_mode(options, subject->mode);
	err = rig_start(subject->bench, options, &subject->rig);
	if (err)
		return err;
	if (content)
		content_fill(content, subject->rig.ram.base, REGION_PAGES, subject->rig.pages);
	if (!subject->kvm)
		return 0;
	err = vm_open(&subject->vm, &subject->rig.ram, &why);
	return err ? bench_fail(subject->bench, err, "%s: %s", why, strerror(-err)) : 0;
}

static void close_subject(struct subject *subject)
{
	if (subject->kvm)
		vm_close(&subject->vm);
	rig_stop(&subject->rig);
}

static void put(struct subject *subject, const char *source, const char *walk, u32 skip)
{
	struct ticks ticks;

	order_sum_up(&subject->order, skip, 0, &ticks);
	bench_put(subject->bench, ticks.p50, ticks.p99, "us/page", "fault.%s.%s.%s.%s",
		  subject->kvm ? "kvm" : "host", rig_mode_names[subject->mode], source, walk);
}

/* Takes memory away, touches it, for each walk. */
static int walk_all(struct subject *subject, const char *source, void (*away)(struct subject *),
		    u32 walk_count)
{
	int err = 0;

	for (u32 i = 0; i < walk_count && !err; i++) {
		const struct walk *walk = &walks[i];

		away(subject);
		if (walk->run == 1)
			order_sparse(&subject->order, REGION_PAGES, (u32)subject->rig.pages,
				     GROUP_PAGES, walk->count, i + 1);
		else
			order_make(&subject->order, REGION_PAGES, (u32)subject->rig.pages,
				   walk->run, walk->count, i + 1);
		err = touch(subject);
		if (!err)
			put(subject, source, walk->name, walk->skip);
	}
	return err;
}

static void away_evicted(struct subject *subject)
{
	rig_evict(&subject->rig, 1, subject->rig.space->region_count, UINT32_MAX);
}

/* The page stays in the file: only the mapping goes. */
static void away_unmapped(struct subject *subject)
{
	madvise(subject->rig.ram.base + REGION_SIZE, subject->rig.ram.bytes - REGION_SIZE,
		MADV_DONTNEED);
}

static void away_nothing(struct subject *subject)
{
	(void)subject;
}

static int measure_compressed(struct subject *subject, const struct content *content)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = true};
	int err = open_subject(subject, content, &options);

	if (err)
		return err;
	err = walk_all(subject, "compressed", away_evicted, ARRAY_SIZE(walks));
	close_subject(subject);
	return err;
}

/* Small pages throughout: whole regions of the file are mapped by the kernel alone. */
static int measure_minor(struct subject *subject, const struct content *content)
{
	struct rig_options options = {.bytes = GUEST_BYTES};
	int err = open_subject(subject, content, &options);

	if (err)
		return err;
	err = walk_all(subject, "minor", away_unmapped, 2);
	close_subject(subject);
	return err;
}

/* Fresh memory: one walk per guest, by small pages and by whole regions. */
static int measure_zero(struct subject *subject, bool huge)
{
	struct rig_options options = {.bytes = GUEST_BYTES, .huge_pages = huge};
	int err = open_subject(subject, NULL, &options);

	if (err)
		return err;
	if (huge) {
		order_make(&subject->order, REGION_PAGES, (u32)subject->rig.pages, 0, ORDER_MAX, 1);
		err = touch(subject);
		if (!err)
			put(subject, "zero", "region", 0);
	} else {
		err = walk_all(subject, "zero", away_nothing, 1);
	}
	close_subject(subject);
	return err;
}

static int measure_disk(struct subject *subject, const struct content *content)
{
	struct rig_options options = {.bytes = GUEST_BYTES,
				      .disk = subject->bench->options.swap,
				      .straight = true,
				      .huge_pages = true};
	int err = open_subject(subject, content, &options);

	if (err)
		return err;
	err = walk_all(subject, "disk", away_evicted, ARRAY_SIZE(walks));
	close_subject(subject);
	return err;
}

/* LZ4 alone on such pages, each out of a cold cache; us a page. */
static double decompress_us(const struct content *content)
{
	static u8 packed[LZ4_SAMPLES][PAGE_SIZE], plain[PAGE_SIZE];
	const struct codec *codec = codec_find(CODEC_LZ4);
	static struct order order;
	static u32 sizes[LZ4_SAMPLES];
	struct ticks ticks;

	for (u32 i = 0; i < LZ4_SAMPLES; i++)
		sizes[i] = codec->compress(content->bytes + i * 7 % content->pages * PAGE_SIZE,
					   packed[i], PAGE_SIZE, 1);
	order = (struct order){.run = 1, .count = LZ4_SAMPLES};
	for (u32 i = 0; i < LZ4_SAMPLES; i++) {
		u64 began = __rdtsc();

		codec->decompress(packed[i], sizes[i], plain);
		order.ticks[i] = (u32)(__rdtsc() - began);
	}
	order_sum_up(&order, 0, 0, &ticks);
	return ticks.p50;
}

static int measure_bare(struct bench *bench, const struct content *content, enum rig_mode mode)
{
	const char *name = rig_mode_names[mode];
	double bare, codec = decompress_us(content);
	struct rig_options options;
	struct ticks ticks;
	int err;

	rig_set_mode(&options, mode);
	err = bare_measure(mode == RIG_POLLING, SINGLES, &ticks);
	if (err)
		return bench_fail(bench, err, "no userfaultfd");
	bare = ticks.p50;
	bench_put(bench, bare, ticks.p99, "us/page", "fault.host.%s.bare", name);
	bench_put(bench,
		  bench_last(bench, "fault.host.%s.compressed.single", name) / (bare + codec), -1,
		  "x", "fault.host.%s.compressed.ratio", name);
	return 0;
}

static int measure(struct bench *bench, bool kvm)
{
	static struct subject subject;
	struct content content;
	int err = content_open(bench, &content);

	for (enum rig_mode mode = 0; mode < RIG_MODES && !err; mode++) {
		subject = (struct subject){.bench = bench, .kvm = kvm, .mode = mode};
		err = measure_compressed(&subject, &content);
		if (!err && !kvm)
			err = measure_bare(bench, &content, mode);
		if (mode == RIG_SAME_CPU || err)
			continue;
		err = measure_minor(&subject, &content);
		if (!err)
			err = measure_zero(&subject, false);
		if (!err)
			err = measure_zero(&subject, true);
		if (!err && mode == RIG_ASLEEP)
			err = measure_disk(&subject, &content);
	}
	return err;
}

int fault_host_round(struct bench *bench)
{
	return measure(bench, false);
}

int fault_kvm_round(struct bench *bench)
{
	return measure(bench, true);
}
