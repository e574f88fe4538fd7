/* SPDX-License-Identifier: Apache-2.0 */
/* The page source over the compressed pool. Complete in itself: no flush, no waiting. */
#include "swap/compressed.h"

#include <errno.h>

#include "swap/blob.h"
#include "swap/codec.h"
#include "swap/compact.h"
#include "swap/zpool.h"

static struct compressed *to_compressed(struct page_source *source)
{
	return container_of(source, struct compressed, source);
}

static void count(_Atomic u64 *counter, u64 by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* A pool at its limit may still have room, in the wrong places. */
static bool make_room(struct compressed *compressed)
{
	return compressed->memory &&
	       compact_pool(compressed->pool, compressed->memory, SLAB_BYTES) > 0;
}

static int compressed_store(struct page_source *source, struct page_store *page)
{
	struct compressed *compressed = to_compressed(source);
	struct encoded blob;
	int err;

	blob_encode(&page->owner, page->plain, compressed->acceleration, compressed->max_blob_bytes,
		    &blob);
	if (blob.header.codec == CODEC_RAW) {
		count(&compressed->poor, 1);
		return -E2BIG;
	}
	err = zpool_store(compressed->pool, page->node, &blob, &page->payload);
	if (err == -ENOSPC && make_room(compressed))
		err = zpool_store(compressed->pool, page->node, &blob, &page->payload);
	if (err)
		return err;
	count(&compressed->stored, 1);
	count(&compressed->out_bytes, blob.header.size);
	return 0;
}

static int compressed_load(struct page_source *source, struct page_load *load)
{
	const struct zpool *pool = to_compressed(source)->pool;

	for (u32 i = 0; i < load->count; i++) {
		struct page_load_slot *slot = &load->slots[i];
		const struct blob *blob = zpool_blob(pool, slot->payload);

		slot->result = blob_decode(blob, sizeof(*blob) + ZPOOL_MAX_BLOB, slot->buffer);
	}
	return 0;
}

static void compressed_invalidate(struct page_source *source, u64 payload)
{
	zpool_free(to_compressed(source)->pool, payload);
}

static void compressed_stats(struct page_source *source, struct source_stats *stats)
{
	struct zpool_stats pool;

	zpool_stats(to_compressed(source)->pool, &pool);
	stats->pages = pool.blobs;
	stats->blob_bytes = pool.blob_bytes;
	stats->used_bytes = pool.used_bytes;
}

static const struct page_source_ops compressed_ops = {
	.name = "compressed",
	.state = PAGE_COMPRESSED,
	.store = compressed_store,
	.load = compressed_load,
	.invalidate = compressed_invalidate,
	.stats = compressed_stats,
};

void compressed_init(struct compressed *compressed)
{
	compressed->source.ops = &compressed_ops;
}
