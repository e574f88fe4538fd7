/* SPDX-License-Identifier: Apache-2.0 */
/* A page through the codec, through the hash, and through the pool, which does both and more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/cases.h"
#include "bench/content.h"
#include "lib/clock.h"
#include "lib/hash.h"
#include "mem/memory.h"
#include "mem/source.h"
#include "swap/codec.h"
#include "swap/swap.h"

#define POOL_BYTES (192 * MiB) /* as a fifth of 1 GiB, the smallest host of interest */

struct packed {
	u8 *bytes; /* a page's worth for each */
	u32 *sizes;
};

static double ns_a_page(u64 began, u64 pages)
{
	return (double)(clock_now_ns() - began) / (double)pages;
}

static double compress_all(const struct content *content, struct packed *packed)
{
	const struct codec *codec = codec_find(CODEC_LZ4);
	u64 began = clock_now_ns();

	for (u64 i = 0; i < content->pages; i++)
		packed->sizes[i] = codec->compress(content->bytes + i * PAGE_SIZE,
						   packed->bytes + i * PAGE_SIZE, PAGE_SIZE, 1);
	return ns_a_page(began, content->pages);
}

static double decompress_all(const struct content *content, const struct packed *packed)
{
	const struct codec *codec = codec_find(CODEC_LZ4);
	static u8 plain[PAGE_SIZE];
	u64 began = clock_now_ns();

	for (u64 i = 0; i < content->pages; i++)
		codec->decompress(packed->bytes + i * PAGE_SIZE, packed->sizes[i], plain);
	return ns_a_page(began, content->pages);
}

static double hash_all(const struct content *content)
{
	u64 began = clock_now_ns();
	volatile u64 sum = 0;

	for (u64 i = 0; i < content->pages; i++)
		sum += hash_page(content->bytes + i * PAGE_SIZE);
	return ns_a_page(began, content->pages);
}

static int store_all(struct page_source *pool, const struct content *content, u64 *payloads)
{
	for (u64 i = 0; i < content->pages; i++) {
		struct page_store page = {.owner = {0, (u32)i},
					  .plain = content->bytes + i * PAGE_SIZE};
		int err = pool->ops->store(pool, &page);

		if (err)
			return err;
		payloads[i] = page.payload;
	}
	return 0;
}

static int load_all(struct page_source *pool, const struct content *content, const u64 *payloads)
{
	static u8 plain[PAGE_SIZE];
	int err = 0;

	for (u64 i = 0; i < content->pages && !err; i++) {
		struct page_load_slot slot = {.payload = payloads[i], .buffer = plain};
		struct page_load load = {.count = 1, .slots = &slot};

		err = pool->ops->load(pool, &load);
		if (!err)
			err = slot.result;
	}
	return err;
}

static int measure_pool(struct bench *bench, const struct content *content, u64 *payloads)
{
	static struct memory memory;
	struct swap_options options = {.pool_bytes = POOL_BYTES, .memory = &memory};
	struct page_source *pool;
	struct swap_stats stats;
	struct swap *swap;
	u64 began;
	int err;

	memory_init(&memory, 4 * POOL_BYTES);
	err = swap_create(&options, &swap);
	if (err)
		return err;
	pool = swap_compressed(swap);
	began = clock_now_ns();
	err = store_all(pool, content, payloads);
	bench_put(bench, ns_a_page(began, content->pages), -1, "ns/page", "pool.store");
	swap_stats(swap, &stats);
	began = clock_now_ns();
	if (!err)
		err = load_all(pool, content, payloads);
	bench_put(bench, ns_a_page(began, content->pages), -1, "ns/page", "pool.load");
	bench_put(bench, 100 * ((double)stats.pool_bytes / (double)stats.pool_blob_bytes - 1), -1,
		  "%", "pool.overhead");
	bench_put(bench, (double)(stats.pool_pages * PAGE_SIZE) / (double)stats.pool_bytes, -1, "x",
		  "pool.compression");
	return err ? bench_fail(bench, err, "the pool failed: %s", strerror(-err)) : 0;
}

int codec_round(struct bench *bench)
{
	struct content content;
	struct packed packed;
	double compress, decompress;
	u64 *payloads;
	int err = content_open(bench, &content);

	if (err)
		return err;
	packed.bytes = malloc(content.pages * PAGE_SIZE);
	packed.sizes = malloc(content.pages * sizeof(*packed.sizes));
	payloads = malloc(content.pages * sizeof(*payloads));
	if (!packed.bytes || !packed.sizes || !payloads)
		return -ENOMEM;
	memset(packed.bytes, 1, content.pages * PAGE_SIZE);
	compress = compress_all(&content, &packed);
	decompress = decompress_all(&content, &packed);
	bench_put(bench, compress, -1, "ns/page", "codec.compress");
	bench_put(bench, decompress, -1, "ns/page", "codec.decompress");
	bench_put(bench, hash_all(&content), -1, "ns/page", "codec.hash");
	err = measure_pool(bench, &content, payloads);
	if (err)
		return err;
	bench_put(bench, bench_last(bench, "pool.store") - compress, -1, "ns/page",
		  "pool.store.above-codec");
	bench_put(bench, bench_last(bench, "pool.load") - decompress, -1, "ns/page",
		  "pool.load.above-codec");
	return 0;
}
