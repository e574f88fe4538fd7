/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariants of the memory core under stress: guest threads that write and verify while
 * everything is taken from them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/around.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "tests/unit/mem_rig.h"

#ifdef __SANITIZE_THREAD__
#define STRESS_SECONDS 1
#else
#define STRESS_SECONDS 3
#endif
#define GUEST_THREADS 3
#define EVICTORS      2

struct actor {
	struct mem_guest *guest;
	u32 number;
	_Atomic u64 operations;
	u64 stale;
	u32 *versions;
	_Atomic bool *stop;
};

/* Pages that belong to the guest threads; the rest is the remover's. */
static u64 shared_pages(const struct mem_guest *guest)
{
	return guest->bytes / PAGE_SIZE - (guest->options.removes ? REGION_PAGES : 0);
}

/* Drops pages as a VMM with a balloon of its own does. They must read zero at once. */
static u64 drop(struct actor *actor, u64 first, u64 count)
{
	u8 *from = actor->guest->ram + first * PAGE_SIZE;
	u64 stale = 0;

	cr_assert_eq(madvise(from, count * PAGE_SIZE, MADV_REMOVE), 0, "%s", strerror(errno));
	for (u64 i = first; i < first + count; i++) {
		actor->versions[i] = 0;
		stale += !mem_guest_check(actor->guest, i, 0);
	}
	return stale;
}

/* A guest thread owns the pages whose number is its own modulo the threads, so the groups that are
 * evicted together belong to all. */
static void *guest_thread(void *argument)
{
	struct actor *actor = argument;
	u64 pages = shared_pages(actor->guest), state = actor->number + 1;

	while (!*actor->stop) {
		u64 run = mem_random(&state) % 64, first = mem_random(&state) % pages;

		for (u64 i = first; i < MIN(first + run, pages) && !*actor->stop; i++) {
			if (i % GUEST_THREADS != actor->number)
				continue;
			actor->operations++;
			if (!mem_guest_check(actor->guest, i, actor->versions[i]))
				actor->stale++;
			if (mem_random(&state) % 3 == 0)
				mem_guest_write(actor->guest, i, ++actor->versions[i]);
			else if (actor->guest->options.removes && mem_random(&state) % 16 == 0)
				actor->stale += drop(actor, i, 1);
		}
	}
	return NULL;
}

/* Writes and drops runs of the last region. */
static void *remover_thread(void *argument)
{
	struct actor *actor = argument;
	u64 base = shared_pages(actor->guest), state = 99;
	u32 version = 0;

	while (!*actor->stop) {
		u64 first = mem_random(&state) % REGION_PAGES;
		u64 run = 1 + mem_random(&state) % 64, count = MIN(run, REGION_PAGES - first);

		version++;
		for (u64 i = base + first; i < base + first + count; i++) {
			actor->stale += !mem_guest_check(actor->guest, i, actor->versions[i]);
			mem_guest_write(actor->guest, i, actor->versions[i] = version);
		}
		first = mem_random(&state) % REGION_PAGES;
		count = MIN(run, REGION_PAGES - first);
		actor->stale += drop(actor, base + first, count);
	}
	return NULL;
}

/* As the clock's front hand does, and what is found in use is mapped. What the VMM is told to unmap where it reports what it
 * drops would be reported. */
static void unmap_and_map_around(struct mem_guest *guest, u64 region)
{
	if (guest->options.removes)
		return;
	pthread_mutex_lock(&guest->space->regions[region].lock);
	guest->space->regions[region].sampled = true;
	pthread_mutex_unlock(&guest->space->regions[region].lock);
	madvise(guest->ram + region * REGION_SIZE, REGION_SIZE, MADV_DONTNEED);
	sched_yield();
	around_map(guest->space, region * REGION_PAGES);
}

static void *evictor_thread(void *argument)
{
	struct actor *actor = argument;
	struct space *space = actor->guest->space;
	u64 state = 77 + actor->number;

	while (!*actor->stop) {
		u64 region = mem_random(&state) % space->region_count;
		u64 first = mem_random(&state) % 4 ? mem_random(&state) % REGION_PAGES : 0;
		u64 count = 1 + mem_random(&state) % (REGION_PAGES - first);
		s64 freed;

		unmap_and_map_around(actor->guest, mem_random(&state) % space->region_count);
		freed = evict_pages(space, region * REGION_PAGES + first, count, UINT32_MAX);
		actor->operations += freed > 0;
		if (freed <= 0)
			sched_yield();
	}
	return NULL;
}

static u64 operations_of(const struct actor *actors)
{
	u64 operations = 0;

	for (u32 i = 0; i < GUEST_THREADS; i++)
		operations += actors[i].operations;
	return operations;
}

/* Runs guests and evictors for a while, longer where they hardly get on; returns the stale or lost pages seen. */
static u64 stress(struct mem_guest *guest, double seconds, u32 evictors)
{
	u32 *versions = calloc(guest->bytes / PAGE_SIZE, sizeof(*versions));
	struct actor actors[GUEST_THREADS + EVICTORS + 1];
	pthread_t threads[GUEST_THREADS + EVICTORS + 1], remover;
	u32 count = GUEST_THREADS + evictors;
	_Atomic bool stop = false;
	u64 stale = 0;

	for (u32 i = 0; i < count; i++) {
		actors[i] = (struct actor){
			.guest = guest, .number = i, .versions = versions, .stop = &stop};
		pthread_create(&threads[i], NULL, i < GUEST_THREADS ? guest_thread : evictor_thread,
			       &actors[i]);
	}
	actors[count] = (struct actor){.guest = guest, .versions = versions, .stop = &stop};
	if (guest->options.removes)
		pthread_create(&remover, NULL, remover_thread, &actors[count]);
	usleep((useconds_t)(seconds * 1e6));
	for (u32 i = 0; i < 6000 && operations_of(actors) <= 100; i++)
		usleep(10000);
	stop = true;
	if (guest->options.removes)
		pthread_join(remover, NULL);
	stale = actors[count].stale;
	for (u32 i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		stale += actors[i].stale;
	}
	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		stale += !mem_guest_check(guest, i, versions[i]);
	cr_assert_gt(operations_of(actors), 100);
	free(versions);
	return stale;
}

Test(mem_stress, guests_verify_while_everything_is_evicted)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 16 * MiB, 64 * MiB, false);
	cr_assert_eq(stress(&rig.guest, STRESS_SECONDS, EVICTORS), 0);
	mem_guest_settle(&rig.guest);
	mem_rig_check_counters(&rig);
	cr_assert_gt(atomic_load(&rig.guest.space->counters.evicted), 100);
	mem_rig_stop(&rig);
}

Test(mem_stress, guests_verify_with_slow_loads)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 16 * MiB, 64 * MiB, true);
	cr_assert_eq(stress(&rig.guest, STRESS_SECONDS, EVICTORS), 0);
	mem_guest_settle(&rig.guest);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_stress, guests_verify_beyond_the_budget)
{
	struct reclaimer *reclaimers[2] = {NULL};
	struct reclaim *reclaim;
	struct clock *clock;
	struct mem_rig rig;

	mem_rig_start(&rig, 96 * MiB, 48 * MiB, true);
	clock = clock_create(&rig.memory);
	reclaimers[0] = clock_reclaimer(clock);
	cr_assert_eq(reclaim_create(&rig.memory, reclaimers, 100, &reclaim), 0);
	cr_assert_eq(stress(&rig.guest, STRESS_SECONDS, 0), 0);
	mem_guest_settle(&rig.guest);
	cr_assert_leq(rig.memory.budget.peak, rig.memory.budget.limit);
	cr_assert(!rig.guest.failed, "%s", rig.guest.why);
	reclaim_destroy(reclaim);
	mem_guest_settle(&rig.guest);
	mem_rig_check_counters(&rig);
	clock_destroy(clock);
	mem_rig_stop(&rig);
}

static void stress_removing(bool huge)
{
	struct mem_guest_options options = {.bytes = 16 * MiB, .removes = true, .small = !huge};
	struct mem_rig rig;

	mem_rig_start_with(&rig, &options, 64 * MiB, true);
	cr_expect_eq(stress(&rig.guest, STRESS_SECONDS, EVICTORS), 0);
	mem_guest_settle(&rig.guest);
	cr_assert(!rig.guest.failed, "%s", rig.guest.why);
	mem_rig_check_counters(&rig);
	cr_assert_gt(rig.guest.space->counters.removed, 10);
	mem_rig_stop(&rig);
}

Test(mem_stress, guests_drop_memory_while_everything_is_evicted)
{
	stress_removing(false);
}

Test(mem_stress, guests_drop_memory_of_whole_regions)
{
	stress_removing(true);
}
