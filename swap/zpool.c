/* SPDX-License-Identifier: Apache-2.0 */
/* The compressed pool: placing, finding and freeing blobs. */
#include "swap/zpool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 9
#define SLAB_BITS 34
#define MAX_NODES 256U

_Static_assert(SLAB_MAX_SLOTS <= 1 << SLOT_BITS, "a slot fits its field");

struct place {
	u32 node;
	u64 slab;
	u32 slot;
};

u64 zpool_payload(u32 node, u64 slab, u32 slot)
{
	return (u64)node << (SLAB_BITS + SLOT_BITS) | slab << SLOT_BITS | slot;
}

static struct place place_of(u64 payload)
{
	return (struct place){
		.node = (u32)(payload >> (SLAB_BITS + SLOT_BITS)),
		.slab = payload >> SLOT_BITS & ((1ULL << SLAB_BITS) - 1),
		.slot = (u32)(payload & ((1U << SLOT_BITS) - 1)),
	};
}

u8 *zpool_slot(const struct zpool *pool, u32 node, const struct zslab *slab, u32 slot)
{
	const struct zpool_node *at = &pool->nodes[node];

	return zarena_memory(&at->arena, slab) + slot * at->classes[slab->class].slot_bytes;
}

/*
 * Slots per slab, class by class. Above 2 KiB every divisor of the slab is a class, 3 to 6 % apart;
 * down to 1 KiB 1/16 apart, and 1/8 below, where few blobs are. More classes would waste less in
 * each slot, but each keeps a slab open.
 */
static u32 next_slots(u32 slots)
{
	return slots < 64 ? slots + MAX(1U, slots / 16) : slots + slots / 8;
}

static void set_classes(struct zpool *pool, struct zpool_node *node)
{
	u32 class = 0;

	for (u32 slots = SLAB_BYTES / PAGE_SIZE; slots < SLAB_MAX_SLOTS; slots = next_slots(slots))
		zclass_init(&node->classes[class ++], slots);
	zclass_init(&node->classes[class ++], SLAB_MAX_SLOTS);
	assert(class <= ZPOOL_MAX_CLASSES);
	pool->class_count = class;
}

/* The classes run from large to small: the last one that fits is the best. */
static void set_class_table(struct zpool *pool)
{
	const struct zclass *classes = pool->nodes[0].classes;

	for (u32 unit = 0; unit < ARRAY_SIZE(pool->class_of); unit++)
		for (u32 i = 0; i < pool->class_count; i++)
			if (classes[i].slot_bytes >= unit * 8)
				pool->class_of[unit] = (u8)i;
}

int zpool_create(u64 bytes, u32 nodes, struct budget *budget, struct zpool **result)
{
	struct zpool *pool = calloc(1, sizeof(*pool));
	int err = -ENOMEM;

	if (!pool)
		return -ENOMEM;
	nodes = MIN(MAX(nodes, 1U), MAX_NODES);
	pool->limit.budget = budget;
	pool->limit.reserved = MAX(bytes / SLAB_BYTES, 1UL);
	pool->limit.max_slabs = pool->limit.reserved;
	pool->limit.accept_percent = 100;
	pool->nodes = aligned_alloc(64, nodes * sizeof(*pool->nodes));
	if (!pool->nodes)
		goto free_pool;
	for (; pool->node_count < nodes; pool->node_count++) {
		struct zpool_node *node = &pool->nodes[pool->node_count];
		int numa_node = nodes > 1 ? (int)pool->node_count : -1;

		err = zarena_create(&node->arena, &pool->limit, numa_node);
		if (err)
			goto destroy_arenas;
		set_classes(pool, node);
	}
	set_class_table(pool);
	*result = pool;
	return 0;

destroy_arenas:
	while (pool->node_count-- > 0)
		zarena_destroy(&pool->nodes[pool->node_count].arena);
	free(pool->nodes);
free_pool:
	free(pool);
	return err;
}

u64 zpool_set_limit(struct zpool *pool, u64 bytes)
{
	u64 slabs = MIN(MAX(bytes / SLAB_BYTES, 1UL), pool->limit.reserved);

	atomic_store(&pool->limit.max_slabs, slabs);
	return slabs * SLAB_BYTES;
}

void zpool_set_accept(struct zpool *pool, u32 percent)
{
	atomic_store(&pool->limit.accept_percent, percent);
}

u64 zpool_excess(struct zpool *pool)
{
	struct zlimit *limit = &pool->limit;
	u32 percent = atomic_load_explicit(&limit->accept_percent, memory_order_relaxed);
	u64 slabs, accepted;

	if (percent >= 100 || !atomic_load_explicit(&limit->full, memory_order_relaxed))
		return 0;
	slabs = atomic_load(&limit->slabs);
	accepted = MAX(atomic_load(&limit->max_slabs) * percent / 100, 1UL);
	if (slabs > accepted)
		return (slabs - accepted) * SLAB_BYTES;
	atomic_store(&limit->full, false);
	return 0;
}

void zpool_destroy(struct zpool *pool)
{
	for (u32 i = 0; i < pool->node_count; i++)
		zarena_destroy(&pool->nodes[i].arena);
	free(pool->nodes);
	free(pool);
}

static u64 tick(struct zpool *pool)
{
	return atomic_fetch_add_explicit(&pool->clock, 1, memory_order_relaxed) + 1;
}

static u64 now(const struct zpool *pool)
{
	return atomic_load_explicit(&pool->clock, memory_order_relaxed);
}

/*
 * Returns with the class locked and a slab that has room; or -errno, unlocked. A slab is taken with the
 * class unlocked, and whoever finds then that others have made room gives it back: an empty slab that
 * nobody stores into is never emptied, and so would never leave the class.
 */
static int lock_room(struct zpool *pool, u32 node, u32 class_index, struct zslab **slab)
{
	struct zpool_node *at = &pool->nodes[node];
	struct zclass *class = &at->classes[class_index];
	struct zslab *fresh = NULL;
	int err;

	for (;;) {
		pthread_mutex_lock(&class->lock);
		*slab = zclass_roomy(class, now(pool));
		if (*slab && !fresh)
			return 0;
		if (!*slab && fresh) {
			zclass_add(class, fresh, tick(pool));
			*slab = fresh;
			return 0;
		}
		pthread_mutex_unlock(&class->lock);
		if (fresh) {
			zarena_put(&at->arena, fresh);
			fresh = NULL;
			continue;
		}
		err = zarena_take(&at->arena, &fresh);
		if (err)
			return err;
		fresh->class = (u8)class_index;
	}
}

int zpool_store(struct zpool *pool, u32 node, const struct encoded *encoded, u64 *payload)
{
	u32 bytes = blob_bytes(&encoded->header);
	struct zclass *class;
	struct zslab *slab;
	u32 class_index, slot;
	int err;

	if (bytes > sizeof(struct blob) + ZPOOL_MAX_BLOB)
		return -E2BIG;
	node %= pool->node_count;
	class_index = pool->class_of[(bytes + 7) / 8];
	err = lock_room(pool, node, class_index, &slab);
	if (err) {
		atomic_fetch_add_explicit(&pool->limit_hit, 1, memory_order_relaxed);
		return err;
	}
	class = &pool->nodes[node].classes[class_index];
	slot = zclass_take_slot(class, slab);
	class->blob_bytes += encoded->header.size;
	/* Under the lock, so that whoever walks the slab reads whole headers: 50 ns. */
	blob_copy(zpool_slot(pool, node, slab, slot), encoded);
	pthread_mutex_unlock(&class->lock);
	*payload = zpool_payload(node, (u64)(slab - pool->nodes[node].arena.slabs), slot);
	return 0;
}

static struct zslab *slab_at(const struct zpool *pool, const struct place *place)
{
	assert(place->node < pool->node_count && place->slab < pool->limit.reserved);
	return &pool->nodes[place->node].arena.slabs[place->slab];
}

const struct blob *zpool_blob(const struct zpool *pool, u64 payload)
{
	struct place place = place_of(payload);

	return (const struct blob *)zpool_slot(pool, place.node, slab_at(pool, &place), place.slot);
}

void zpool_set_owner(struct zpool *pool, u64 payload, struct page_owner owner)
{
	struct place place = place_of(payload);
	const struct zslab *slab = slab_at(pool, &place);
	struct zclass *class = &pool->nodes[place.node].classes[slab->class];
	struct blob *blob = (void *)zpool_slot(pool, place.node, slab, place.slot);

	pthread_mutex_lock(&class->lock);
	blob->owner = owner;
	pthread_mutex_unlock(&class->lock);
}

u32 zpool_free(struct zpool *pool, u64 payload)
{
	struct place place = place_of(payload);
	struct zslab *slab = slab_at(pool, &place);
	struct zpool_node *node = &pool->nodes[place.node];
	struct zclass *class = &node->classes[slab->class];
	bool empty;

	pthread_mutex_lock(&class->lock);
	class->blob_bytes -= zpool_blob(pool, payload)->size;
	zclass_free_slot(class, slab, place.slot);
	/* Compaction looks after the slab it drains. */
	empty = !slab->used && slab->fill != SLAB_DRAINING;
	if (empty)
		zclass_remove(class, slab);
	pthread_mutex_unlock(&class->lock);
	if (empty)
		zarena_put(&node->arena, slab);
	return class->slot_bytes;
}

/* The class whose oldest slab is the oldest of all; NULL when there is no slab. */
static struct zclass *coldest_class(struct zpool *pool, u32 *node)
{
	struct zclass *coldest = NULL;
	u64 age = ~0ULL;

	for (u32 i = 0; i < pool->node_count * pool->class_count; i++) {
		struct zclass *class =
			&pool->nodes[i / pool->class_count].classes[i % pool->class_count];
		struct zslab *slab;

		pthread_mutex_lock(&class->lock);
		slab = TAILQ_FIRST(&class->by_age);
		if (slab && slab->age < age) {
			age = slab->age;
			coldest = class;
			*node = i / pool->class_count;
		}
		pthread_mutex_unlock(&class->lock);
	}
	return coldest;
}

static u32 list_slab(struct zpool *pool, u32 node, const struct zslab *slab,
		     struct zpool_item *items)
{
	u64 index = (u64)(slab - pool->nodes[node].arena.slabs);
	u32 count = 0;

	for (u32 word = 0; word < ARRAY_SIZE(slab->slots); word++) {
		for (u64 bits = slab->slots[word]; bits; bits &= bits - 1) {
			u32 slot = word * 64 + (u32)__builtin_ctzll(bits);
			u64 payload = zpool_payload(node, index, slot);

			items[count++] = (struct zpool_item){
				.payload = payload,
				.owner = zpool_blob(pool, payload)->owner,
			};
		}
	}
	return count;
}

u32 zpool_coldest(struct zpool *pool, struct zpool_item *items)
{
	struct zclass *class;
	struct zslab *slab;
	u32 node = 0, count = 0;

	class = coldest_class(pool, &node);
	if (!class)
		return 0;
	pthread_mutex_lock(&class->lock);
	slab = TAILQ_FIRST(&class->by_age);
	if (slab) {
		zclass_rotate(class, slab, tick(pool));
		count = list_slab(pool, node, slab, items);
	}
	pthread_mutex_unlock(&class->lock);
	return count;
}

u64 zpool_node_bytes(const struct zpool *pool, u32 node)
{
	return node < pool->node_count ? atomic_load(&pool->nodes[node].arena.held) * SLAB_BYTES : 0;
}

void zpool_stats(struct zpool *pool, struct zpool_stats *stats)
{
	*stats = (struct zpool_stats){
		.used_bytes = atomic_load(&pool->limit.slabs) * SLAB_BYTES,
		.limit_bytes = pool->limit.max_slabs * SLAB_BYTES,
		.limit_hit = atomic_load(&pool->limit_hit),
		.accept_percent = atomic_load(&pool->limit.accept_percent),
	};
	for (u32 i = 0; i < pool->node_count * pool->class_count; i++) {
		struct zclass *class =
			&pool->nodes[i / pool->class_count].classes[i % pool->class_count];

		pthread_mutex_lock(&class->lock);
		stats->blobs += class->used;
		stats->blob_bytes += class->blob_bytes;
		pthread_mutex_unlock(&class->lock);
	}
}
