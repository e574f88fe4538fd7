/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction of the pool. Each blob moves while its owner is held, so a guest that wants its page
 * meanwhile waits for one copy of two kilobytes; what somebody else holds stays, and its slab with it.
 */
#include "swap/compact.h"

#include <string.h>

#include "swap/owner.h"
#include "swap/zpool.h"

/* One slab being drained. */
struct drain {
	struct zpool *pool;
	const struct owners *owners;
	u32 node;
	struct zclass *class;
	struct zslab *slab;
};

static u64 slab_index(const struct drain *drain, const struct zslab *slab)
{
	return (u64)(slab - drain->pool->nodes[drain->node].arena.slabs);
}

/* Copies the blob into the fullest slab with room. False when there is none. */
static bool copy_blob(struct drain *drain, u32 slot, u64 *payload)
{
	struct zclass *class = drain->class;
	struct zslab *to;
	u32 to_slot;

	pthread_mutex_lock(&class->lock);
	to = zclass_fullest(class);
	if (to) {
		const struct blob *blob =
			(void *)zpool_slot(drain->pool, drain->node, drain->slab, slot);

		to_slot = zclass_take_slot(class, to);
		class->blob_bytes += blob->size;
		memcpy(zpool_slot(drain->pool, drain->node, to, to_slot), blob, blob_bytes(blob));
		*payload = zpool_payload(drain->node, slab_index(drain, to), to_slot);
	}
	pthread_mutex_unlock(&class->lock);
	return to;
}

/* False when there is no place left to move to. A page that cannot be held is passed over. */
static bool move_slot(struct drain *drain, u32 slot)
{
	u64 from = zpool_payload(drain->node, slab_index(drain, drain->slab), slot);
	struct page_word old = page_word(PAGE_COMPRESSED, from);
	struct page_owner owner;
	bool taken, moved;
	u64 to = from;

	pthread_mutex_lock(&drain->class->lock);
	taken = drain->slab->slots[slot / 64] & 1ULL << (slot % 64);
	if (taken)
		owner = zpool_blob(drain->pool, from)->owner;
	pthread_mutex_unlock(&drain->class->lock);
	if (!taken || owner_hold(drain->owners, owner, old))
		return true;
	moved = copy_blob(drain, slot, &to);
	owner_let_go(drain->owners, owner, old, page_word(PAGE_COMPRESSED, to));
	if (moved)
		zpool_free(drain->pool, from);
	return moved;
}

/* Picks the emptiest slab of a class that has room elsewhere for what is in it. */
static bool begin_drain(struct drain *drain)
{
	struct zclass *class = drain->class;

	pthread_mutex_lock(&class->lock);
	drain->slab = zclass_wasteful(class) ? zclass_emptiest(class) : NULL;
	if (drain->slab)
		zclass_drain(class, drain->slab);
	pthread_mutex_unlock(&class->lock);
	return drain->slab;
}

static bool end_drain(struct drain *drain)
{
	struct zclass *class = drain->class;
	bool empty;

	pthread_mutex_lock(&class->lock);
	empty = !drain->slab->used;
	if (empty)
		zclass_remove(class, drain->slab);
	else
		zclass_release(class, drain->slab);
	pthread_mutex_unlock(&class->lock);
	if (empty)
		zarena_put(&drain->pool->nodes[drain->node].arena, drain->slab);
	return empty;
}

/* Returns bytes given back: a slab, or 0 when this class has nothing to give now. */
static u64 drain_one(struct drain *drain)
{
	if (!begin_drain(drain))
		return 0;
	for (u32 slot = 0; slot < drain->class->slots; slot++)
		if (!move_slot(drain, slot))
			break;
	return end_drain(drain) ? SLAB_BYTES : 0;
}

u64 compact_pool(struct zpool *pool, const struct owners *owners, u64 bytes)
{
	struct drain drain = {.pool = pool, .owners = owners};
	u64 freed = 0, got;

	for (u32 i = 0; i < pool->node_count * pool->class_count && freed < bytes; i++) {
		drain.node = i / pool->class_count;
		drain.class = &pool->nodes[drain.node].classes[i % pool->class_count];
		while (freed < bytes && (got = drain_one(&drain)))
			freed += got;
	}
	return freed;
}

u64 compact_gain(struct zpool *pool)
{
	u64 gain = 0;

	for (u32 i = 0; i < pool->node_count * pool->class_count; i++) {
		struct zclass *class =
			&pool->nodes[i / pool->class_count].classes[i % pool->class_count];

		pthread_mutex_lock(&class->lock);
		if (zclass_wasteful(class))
			gain += (class->slabs - 1 - class->used / class->slots) * SLAB_BYTES;
		pthread_mutex_unlock(&class->lock);
	}
	return gain;
}
