/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of the compressed pool: reserving, populating and returning their memory. */
#include "swap/zslab.h"

#include <errno.h>
#include <numa.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/budget.h"

static void *reserve(u64 bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

static u64 metadata_bytes(const struct zarena *arena)
{
	return ALIGN_UP(arena->count * sizeof(struct zslab), PAGE_SIZE);
}

int zarena_create(struct zarena *arena, struct zlimit *limit, int node)
{
	int err;

	memset(arena, 0, sizeof(*arena));
	arena->limit = limit;
	arena->count = limit->max_slabs;
	TAILQ_INIT(&arena->free);
	TAILQ_INIT(&arena->ready);
	arena->base = reserve(arena->count * SLAB_BYTES);
	if (!arena->base)
		return -errno;
	arena->slabs = reserve(metadata_bytes(arena));
	if (!arena->slabs) {
		err = -errno;
		munmap(arena->base, arena->count * SLAB_BYTES);
		return err;
	}
	/* A huge page would put memory behind 32 slabs when one is touched. */
	madvise(arena->base, arena->count * SLAB_BYTES, MADV_NOHUGEPAGE);
	if (node >= 0 && numa_available() >= 0)
		numa_tonode_memory(arena->base, arena->count * SLAB_BYTES, node);
	if (limit->budget)
		budget_charge(limit->budget, metadata_bytes(arena));
	pthread_mutex_init(&arena->lock, NULL);
	return 0;
}

void zarena_destroy(struct zarena *arena)
{
	struct budget *budget = arena->limit->budget;
	u64 in_use = arena->fresh;
	struct zslab *slab;

	TAILQ_FOREACH(slab, &arena->free, by_fill)
	in_use--;
	munmap(arena->base, arena->count * SLAB_BYTES);
	if (budget)
		budget_give(budget, metadata_bytes(arena) + in_use * SLAB_BYTES);
	atomic_fetch_sub(&arena->limit->slabs, in_use);
	munmap(arena->slabs, metadata_bytes(arena));
	pthread_mutex_destroy(&arena->lock);
}

/* Takes one slab's worth from the limit and the budget. */
static bool limit_take(struct zlimit *limit)
{
	u64 had = atomic_fetch_add(&limit->slabs, 1);

	if (had < limit->max_slabs &&
	    (!limit->budget || budget_take(limit->budget, SLAB_BYTES, BUDGET_RECLAIM)))
		return true;
	atomic_fetch_sub(&limit->slabs, 1);
	return false;
}

static void limit_give(struct zlimit *limit)
{
	if (limit->budget)
		budget_give(limit->budget, SLAB_BYTES);
	atomic_fetch_sub(&limit->slabs, 1);
}

/* Never fails: no arena can run out of slabs before the limit, which they share, is reached. */
static struct zslab *pop(struct zarena *arena)
{
	struct zslab *slab;

	pthread_mutex_lock(&arena->lock);
	slab = TAILQ_FIRST(&arena->free);
	if (slab)
		TAILQ_REMOVE(&arena->free, slab, by_fill);
	else
		slab = &arena->slabs[arena->fresh++];
	pthread_mutex_unlock(&arena->lock);
	return slab;
}

static void push(struct zarena *arena, struct zslab *slab)
{
	pthread_mutex_lock(&arena->lock);
	TAILQ_INSERT_HEAD(&arena->free, slab, by_fill);
	pthread_mutex_unlock(&arena->lock);
}

static struct zslab *pop_ready(struct zarena *arena)
{
	struct zslab *slab;

	pthread_mutex_lock(&arena->lock);
	slab = TAILQ_FIRST(&arena->ready);
	if (slab) {
		TAILQ_REMOVE(&arena->ready, slab, by_fill);
		arena->ready_count--;
	}
	pthread_mutex_unlock(&arena->lock);
	return slab;
}

static bool push_ready(struct zarena *arena, struct zslab *slab)
{
	bool room;

	pthread_mutex_lock(&arena->lock);
	room = arena->ready_count < SLAB_READY_MAX;
	if (room) {
		TAILQ_INSERT_HEAD(&arena->ready, slab, by_fill);
		arena->ready_count++;
	}
	pthread_mutex_unlock(&arena->lock);
	return room;
}

static void give_back(struct zarena *arena, struct zslab *slab)
{
	madvise(zarena_memory(arena, slab), SLAB_BYTES, MADV_DONTNEED);
	push(arena, slab);
	limit_give(arena->limit);
}

/* A slab that was not ready: an empty one, and memory for it. */
static int take_fresh(struct zarena *arena, struct zslab **slab)
{
	if (!limit_take(arena->limit))
		return -ENOSPC;
	*slab = pop(arena);
	/* One call for 16 pages, and an error here instead of a signal later. EINVAL: a kernel before
	 * 5.14, which populates on touch. */
	if (madvise(zarena_memory(arena, *slab), SLAB_BYTES, MADV_POPULATE_WRITE) &&
	    errno != EINVAL) {
		give_back(arena, *slab);
		return -ENOMEM;
	}
	return 0;
}

int zarena_take(struct zarena *arena, struct zslab **slab)
{
	int err = 0;

	*slab = pop_ready(arena);
	if (!*slab)
		err = take_fresh(arena, slab);
	if (err)
		return err;
	(*slab)->used = 0;
	memset((*slab)->slots, 0, sizeof((*slab)->slots));
	return 0;
}

static bool nearly_full(const struct zlimit *limit)
{
	return atomic_load(&limit->slabs) >= limit->max_slabs - limit->max_slabs / 8;
}

void zarena_put(struct zarena *arena, struct zslab *slab)
{
	if (!nearly_full(arena->limit) || !push_ready(arena, slab))
		give_back(arena, slab);
	/* Looked at after the push: whoever gave back meanwhile may have found nothing to take along. */
	while (!nearly_full(arena->limit) && (slab = pop_ready(arena)))
		give_back(arena, slab);
}
