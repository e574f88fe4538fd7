/* SPDX-License-Identifier: Apache-2.0 */
/* The page source over the compressed pool. Complete in itself: no flush, no waiting. */
#include "swap/compressed.h"

#include <errno.h>

#include "swap/blob.h"
#include "swap/codec.h"
#include "swap/compact.h"
#include "swap/dedup.h"
#include "swap/redirect.h"
#include "swap/shared.h"
#include "swap/swapfile.h"
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
	return compressed->owners.memory &&
	       compact_pool(compressed->pool, &compressed->owners, SLAB_BYTES) > 0;
}

/* Whether a pool that was full leaves new pages to the swap file until it is below its threshold. A file
 * without room is no help. */
static bool recovers(const struct compressed *compressed)
{
	return compressed->file && zpool_excess(compressed->pool) &&
	       swapfile_free_bytes(compressed->file);
}

static int store_new(struct compressed *compressed, struct page_store *page, u64 hash)
{
	const struct page_owner owner = page->unowned ? SHARED_NOBODY : page->owner;
	struct encoded blob;
	int err;

	if (!page->unowned && recovers(compressed)) {
		count(&compressed->recovering, 1);
		return -E2BIG;
	}
	blob_encode_hashed(&owner, page->plain, hash, compressed->acceleration,
			   compressed->max_blob_bytes, &blob);
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

static int compressed_store(struct page_source *source, struct page_store *page)
{
	struct compressed *compressed = to_compressed(source);
	u64 hash = blob_hash(page->plain);
	enum dedup_result found;
	int err;

	if (!page->unowned && atomic_load_explicit(&compressed->closed, memory_order_relaxed))
		return -E2BIG;
	if (!compressed->dedup || page->salt == SALT_ALONE ||
	    (!page->unowned && atomic_load_explicit(&compressed->alone, memory_order_relaxed)))
		return page->unowned ? -E2BIG : store_new(compressed, page, hash);
	found = dedup_find(compressed->dedup, page, hash);
	if (found == DEDUP_SHARED)
		return 0;
	err = store_new(compressed, page, hash);
	if (err)
		return err;
	/* What is nobody's must be an entry. */
	dedup_stored(compressed->dedup, page, hash, page->unowned ? DEDUP_REPEATED : found);
	if (!page->unowned || payload_is_shared(page->payload))
		return 0;
	zpool_free(compressed->pool, page->payload);
	return -ENOSPC;
}

/* Loads a page that refers to a shared blob, or has *redirect do it. */
static int load_shared(struct compressed *compressed, struct page_load *load, u32 index,
		       struct redirect **redirect)
{
	_Alignas(struct blob) u8 room[SHARED_BLOB_ROOM];
	struct shared *shared = compressed->owners.shared;
	struct page_load_slot *slot = &load->slots[index];
	struct blob *copy = (struct blob *)room;
	u32 number = payload_number(slot->payload);
	u64 place;

	if (!shared_read(shared, number, copy, &place))
		return blob_decode(copy, sizeof(room), slot->buffer);
	if (!*redirect)
		*redirect = redirect_create(load, shared);
	if (*redirect) {
		redirect_add(*redirect, index, number, place);
		return 0;
	}
	shared_read_end(shared, number);
	return -EIO;
}

static int compressed_load(struct page_source *source, struct page_load *load)
{
	struct compressed *compressed = to_compressed(source);
	struct redirect *redirect = NULL;

	for (u32 i = 0; i < load->count; i++) {
		struct page_load_slot *slot = &load->slots[i];
		const struct blob *blob;

		if (payload_is_shared(slot->payload)) {
			slot->result = load_shared(compressed, load, i, &redirect);
			continue;
		}
		blob = zpool_blob(compressed->pool, slot->payload);
		slot->result = blob_decode(blob, sizeof(*blob) + ZPOOL_MAX_BLOB, slot->buffer);
	}
	return redirect ? redirect_start(redirect, compressed->disk) : 0;
}

static void compressed_invalidate(struct page_source *source, u64 payload)
{
	struct compressed *compressed = to_compressed(source);

	if (payload_is_shared(payload))
		shared_drop(compressed->owners.shared, payload_number(payload));
	else
		zpool_free(compressed->pool, payload);
}

static void compressed_stats(struct page_source *source, struct source_stats *stats)
{
	struct zpool_stats pool;

	zpool_stats(to_compressed(source)->pool, &pool);
	*stats = (struct source_stats){
		.pages = pool.blobs,
		.blob_bytes = pool.blob_bytes,
		.used_bytes = pool.used_bytes,
	};
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
