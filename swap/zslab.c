/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of the compressed pool: reserving, populating and returning their memory. */
#include "swap/zslab.h"

#include <errno.h>
#include <numa.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

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
	arena->count = limit->reserved;
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
	if (node >= 0 && numa_available() >= 0 && node <= numa_max_node())
		numa_tonode_memory(arena->base, arena->count * SLAB_BYTES, node);
	if (limit->budget)
		budget_charge(limit->budget, metadata_bytes(arena));
	arena->self = (int)syscall(SYS_pidfd_open, getpid(), 0);
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
	if (arena->self >= 0)
		close(arena->self);
	pthread_mutex_destroy(&arena->lock);
}

/* Takes one slab's worth from the limit and the budget. */
static bool limit_take(struct zarena *arena)
{
	struct zlimit *limit = arena->limit;
	u64 had = atomic_fetch_add(&limit->slabs, 1);

	if (had < limit->max_slabs &&
	    (!limit->budget || budget_take(limit->budget, SLAB_BYTES, BUDGET_RECLAIM))) {
		atomic_fetch_add(&arena->held, 1);
		return true;
	}
	if (had >= limit->max_slabs)
		atomic_store(&limit->full, true);
	atomic_fetch_sub(&limit->slabs, 1);
	return false;
}

static void limit_give(struct zarena *arena, u64 slabs)
{
	struct zlimit *limit = arena->limit;

	if (limit->budget)
		budget_give(limit->budget, slabs * SLAB_BYTES);
	atomic_fetch_sub(&arena->held, slabs);
	atomic_fetch_sub(&limit->slabs, slabs);
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

static bool nearly_full(const struct zlimit *limit)
{
	u64 max = atomic_load(&limit->max_slabs);

	return atomic_load(&limit->slabs) >= max - max / 8;
}

static u64 ready_max(const struct zlimit *limit)
{
	if (nearly_full(limit))
		return MIN(SLAB_READY_MAX, limit->max_slabs / 8);
	return MIN(SLAB_BATCH - 1, atomic_load(&limit->slabs) / 16);
}

static void push_ready(struct zarena *arena, struct zslab *slab)
{
	pthread_mutex_lock(&arena->lock);
	TAILQ_INSERT_HEAD(&arena->ready, slab, by_fill);
	arena->ready_count++;
	pthread_mutex_unlock(&arena->lock);
}

/* If the ready slabs are too many, a batch of them. */
static u32 pop_batch(struct zarena *arena, struct zslab **batch)
{
	u32 count = 0;

	pthread_mutex_lock(&arena->lock);
	if (arena->ready_count > ready_max(arena->limit))
		count = MIN(arena->ready_count, SLAB_BATCH);
	arena->ready_count -= count;
	for (u32 i = 0; i < count; i++) {
		batch[i] = TAILQ_LAST(&arena->ready, zslab_list);
		TAILQ_REMOVE(&arena->ready, batch[i], by_fill);
	}
	pthread_mutex_unlock(&arena->lock);
	return count;
}

/* A batch by one call, where the kernel lets a process advise itself so (Linux 6.13): other processors
 * are told of it once, not slab by slab. */
static void drop_memory(struct zarena *arena, struct zslab *const *batch, u32 count)
{
	struct iovec ranges[SLAB_BATCH];

	for (u32 i = 0; i < count; i++)
		ranges[i] = (struct iovec){zarena_memory(arena, batch[i]), SLAB_BYTES};
	if (count > 1 && syscall(SYS_process_madvise, arena->self, ranges, count, MADV_DONTNEED,
				 0) == (long)(count * SLAB_BYTES))
		return;
	for (u32 i = 0; i < count; i++)
		madvise(ranges[i].iov_base, SLAB_BYTES, MADV_DONTNEED);
}

static void give_back(struct zarena *arena, struct zslab *const *batch, u32 count)
{
	drop_memory(arena, batch, count);
	pthread_mutex_lock(&arena->lock);
	for (u32 i = 0; i < count; i++)
		TAILQ_INSERT_HEAD(&arena->free, batch[i], by_fill);
	pthread_mutex_unlock(&arena->lock);
	limit_give(arena, count);
}

/* A slab that was not ready: an empty one, and memory for it. */
static int take_fresh(struct zarena *arena, struct zslab **slab)
{
	if (!limit_take(arena))
		return -ENOSPC;
	*slab = pop(arena);
	/* One call for 16 pages, and an error here instead of a signal later. EINVAL: a kernel before
	 * 5.14, which populates on touch. */
	if (madvise(zarena_memory(arena, *slab), SLAB_BYTES, MADV_POPULATE_WRITE) &&
	    errno != EINVAL) {
		give_back(arena, slab, 1);
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

void zarena_put(struct zarena *arena, struct zslab *slab)
{
	struct zslab *batch[SLAB_BATCH];
	u32 count;

	push_ready(arena, slab);
	/* Until nothing is left over: by what was given back the bound falls, also for what others kept. */
	while ((count = pop_batch(arena, batch)))
		give_back(arena, batch, count);
}
