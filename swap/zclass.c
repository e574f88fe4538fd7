/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of a size class. Plain bookkeeping: no memory is taken or touched here. */
#include "swap/zclass.h"

#include <assert.h>

void zclass_init(struct zclass *class, u32 slots)
{
	*class = (struct zclass){
		.slots = slots,
		.slot_bytes = (u32)ALIGN_DOWN(SLAB_BYTES / slots, 8),
	};
	pthread_mutex_init(&class->lock, NULL);
	TAILQ_INIT(&class->by_age);
	for (u32 i = 0; i < ZCLASS_QUARTERS; i++)
		TAILQ_INIT(&class->partial[i]);
}

static u8 fill_of(const struct zclass *class, const struct zslab *slab)
{
	return (u8)(slab->used * ZCLASS_QUARTERS / class->slots);
}

static void unlist(struct zclass *class, struct zslab *slab)
{
	if (slab->fill < ZCLASS_QUARTERS)
		TAILQ_REMOVE(&class->partial[slab->fill], slab, by_fill);
}

/* At the tail: whoever takes from the head does not meet at once what was just put back. */
static void set_fill(struct zclass *class, struct zslab *slab, u8 fill)
{
	unlist(class, slab);
	slab->fill = fill;
	if (fill < ZCLASS_QUARTERS)
		TAILQ_INSERT_TAIL(&class->partial[fill], slab, by_fill);
}

/* After a slot was taken or freed. */
static void refill(struct zclass *class, struct zslab *slab)
{
	if (slab->fill <= SLAB_FULL && slab->fill != fill_of(class, slab))
		set_fill(class, slab, fill_of(class, slab));
}

static void make_current(struct zclass *class, struct zslab *slab, u64 now)
{
	if (class->current)
		set_fill(class, class->current, fill_of(class, class->current));
	set_fill(class, slab, SLAB_CURRENT);
	class->current = slab;
	zclass_rotate(class, slab, now);
}

struct zslab *zclass_emptiest(struct zclass *class)
{
	for (u32 i = 0; i < ZCLASS_QUARTERS; i++)
		if (!TAILQ_EMPTY(&class->partial[i]))
			return TAILQ_FIRST(&class->partial[i]);
	return NULL;
}

static bool current_has_room(const struct zclass *class)
{
	return class->current && class->current->used < class->slots;
}

struct zslab *zclass_roomy(struct zclass *class, u64 now)
{
	struct zslab *slab;

	if (current_has_room(class))
		return class->current;
	slab = zclass_emptiest(class);
	if (slab)
		make_current(class, slab, now);
	return slab;
}

struct zslab *zclass_fullest(struct zclass *class)
{
	for (u32 i = ZCLASS_QUARTERS; i-- > 0;)
		if (!TAILQ_EMPTY(&class->partial[i]))
			return TAILQ_FIRST(&class->partial[i]);
	return current_has_room(class) ? class->current : NULL;
}

void zclass_add(struct zclass *class, struct zslab *slab, u64 now)
{
	slab->fill = SLAB_DRAINING; /* on no list yet */
	slab->age = now;
	TAILQ_INSERT_TAIL(&class->by_age, slab, by_age);
	class->slabs++;
	make_current(class, slab, now);
}

void zclass_remove(struct zclass *class, struct zslab *slab)
{
	assert(!slab->used);
	unlist(class, slab);
	TAILQ_REMOVE(&class->by_age, slab, by_age);
	if (class->current == slab)
		class->current = NULL;
	class->slabs--;
}

u32 zclass_take_slot(struct zclass *class, struct zslab *slab)
{
	u32 word = 0, slot;

	while (!~slab->slots[word])
		word++;
	slot = word * 64 + (u32)__builtin_ctzll(~slab->slots[word]);
	assert(slot < class->slots);
	slab->slots[word] |= 1ULL << (slot % 64);
	slab->used++;
	class->used++;
	refill(class, slab);
	return slot;
}

void zclass_free_slot(struct zclass *class, struct zslab *slab, u32 slot)
{
	assert(slab->slots[slot / 64] & 1ULL << (slot % 64));
	slab->slots[slot / 64] &= ~(1ULL << (slot % 64));
	slab->used--;
	class->used--;
	refill(class, slab);
}

void zclass_drain(struct zclass *class, struct zslab *slab)
{
	if (class->current == slab)
		class->current = NULL;
	set_fill(class, slab, SLAB_DRAINING);
}

void zclass_release(struct zclass *class, struct zslab *slab)
{
	set_fill(class, slab, fill_of(class, slab));
}

void zclass_rotate(struct zclass *class, struct zslab *slab, u64 now)
{
	slab->age = now;
	TAILQ_REMOVE(&class->by_age, slab, by_age);
	TAILQ_INSERT_TAIL(&class->by_age, slab, by_age);
}

bool zclass_wasteful(const struct zclass *class)
{
	u64 free_slots = class->slabs * class->slots - class->used;

	if (class->current)
		free_slots -= class->slots - class->current->used;
	return free_slots > class->slots;
}
