/* SPDX-License-Identifier: Apache-2.0 */
/* Cold memory leaves ahead of need, what is used stays, and nothing gets lost. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

#include "lib/clock.h"
#include "mem/cold.h"
#include "tests/unit/mem_rig.h"

#define BYTES (32 * MiB)
#define AGE_S 4UL

struct chill {
	struct mem_rig rig;
	u64 now_ns;
};

static void start(struct chill *chill, bool small)
{
	struct mem_guest_options options = {.bytes = BYTES, .small = small};

	*chill = (struct chill){.now_ns = 100 * NSEC_PER_SEC};
	mem_rig_start_with(&chill->rig, &options, 256 * MiB, false);
	mem_guest_write_all(&chill->rig.guest, 1);
	mem_guest_settle(&chill->rig.guest);
	atomic_store(&chill->rig.guest.space->entitlement.cold_ms, AGE_S * 1000);
}

static void stop(struct chill *chill)
{
	cr_expect_eq(mem_guest_check_all(&chill->rig.guest, 1), 0);
	mem_rig_check_counters(&chill->rig);
	mem_rig_stop(&chill->rig);
}

static u64 resident(struct chill *chill)
{
	return page_table_count(&chill->rig.guest.space->table, PAGE_RESIDENT);
}

/* Reads each page in the first so many percent of memory. */
static void use(struct chill *chill, u64 percent)
{
	struct mem_guest *guest = &chill->rig.guest;

	for (u64 i = 0; i < BYTES / PAGE_SIZE * percent / 100; i++)
		(void)*(volatile u8 *)(guest->ram + i * PAGE_SIZE);
	mem_guest_settle(guest);
}

/* So many seconds pass, and the guest uses some of its memory in each. Returns bytes freed. */
static u64 pass(struct chill *chill, u64 seconds, u64 percent)
{
	u64 freed = 0;

	for (u64 i = 0; i < seconds * 4; i++) {
		s64 result;

		chill->now_ns += NSEC_PER_SEC / 4;
		use(chill, percent);
		result = cold_walk(&chill->rig.memory, chill->now_ns);
		cr_assert_geq(result, 0);
		freed += (u64)result;
	}
	return freed;
}

static void expect_kept(bool small, u64 percent)
{
	struct chill chill;
	u64 all, freed;

	start(&chill, small);
	all = resident(&chill);
	freed = pass(&chill, 5 * AGE_S, percent);
	/* A place of 2 MiB is used when a page of it is. */
	cr_expect_leq(resident(&chill), all * percent / 100 + 2 * REGION_PAGES);
	cr_expect_geq(resident(&chill) + 2 * REGION_PAGES, all * percent / 100);
	cr_expect_eq(freed, (all - resident(&chill)) * PAGE_SIZE);
	cr_expect_eq(chill.rig.guest.space->counters.cold, freed / PAGE_SIZE);
	stop(&chill);
}

Test(mem_cold, an_idle_guest_leaves)
{
	expect_kept(false, 0);
	expect_kept(true, 0);
}

Test(mem_cold, what_is_used_stays)
{
	expect_kept(false, 50);
	expect_kept(true, 50);
	expect_kept(false, 100);
	expect_kept(true, 100);
}

Test(mem_cold, nothing_leaves_before_its_time)
{
	struct chill chill;
	u64 all;

	start(&chill, false);
	all = resident(&chill);
	cr_expect_eq(pass(&chill, AGE_S, 0), 0);
	cr_expect_eq(resident(&chill), all);
	cr_expect_gt(pass(&chill, AGE_S, 0), 0);
	stop(&chill);
}

Test(mem_cold, without_a_threshold_nothing_is_cold)
{
	struct chill chill;

	start(&chill, false);
	atomic_store(&chill.rig.guest.space->entitlement.cold_ms, 0);
	cr_expect_eq(pass(&chill, 3 * AGE_S, 0), 0);
	cr_expect_eq(chill.rig.guest.zaps, 0, "and nobody is disturbed");
	stop(&chill);
}

Test(mem_cold, min_stays)
{
	struct chill chill;
	u64 min = BYTES / PAGE_SIZE / 2;

	start(&chill, false);
	atomic_store(&chill.rig.guest.space->entitlement.min, min);
	pass(&chill, 5 * AGE_S, 0);
	cr_expect_geq(resident(&chill), min);
	cr_expect_leq(resident(&chill), min + 2 * REGION_PAGES);
	stop(&chill);
}

Test(mem_cold, full_stores_are_told)
{
	struct chill chill;
	s64 result = 0;

	start(&chill, false);
	atomic_store(&chill.rig.pool.full, true);
	for (u32 i = 0; i < 100 && result >= 0; i++) {
		chill.now_ns += NSEC_PER_SEC;
		result = cold_walk(&chill.rig.memory, chill.now_ns);
	}
	cr_expect_eq(result, -ENOSPC);
	stop(&chill);
}

static _Atomic bool done;

static void *rewrite(void *argument)
{
	struct mem_guest *guest = argument;
	u64 random = 11;
	u32 wrong = 0;

	while (!done) {
		u64 index = mem_random(&random) % (BYTES / PAGE_SIZE);

		/* The same content again: a write that is lost would be, too, if it were the only one. */
		wrong += !mem_guest_check(guest, index, 1);
		mem_guest_write(guest, index, 2);
		wrong += !mem_guest_check(guest, index, 2);
		mem_guest_write(guest, index, 1);
	}
	return wrong ? guest : NULL;
}

/* The hand goes round as fast as it can, all it unmaps is old at once, and the guest never stops. */
Test(mem_cold, guests_verify_while_cold_memory_is_taken, .timeout = 120)
{
	struct chill chill;
	pthread_t writer;
	void *wrong;
	u64 end;

	start(&chill, true);
	done = false;
	end = clock_now_ns() + 40 * NSEC_PER_SEC;
	pthread_create(&writer, NULL, rewrite, &chill.rig.guest);
	/* As often as a slow machine can. */
	for (u32 i = 0; (i < 2000 || chill.rig.guest.space->counters.cold < 20000) && clock_now_ns() < end;
	     i++) {
		chill.now_ns += AGE_S * NSEC_PER_SEC;
		cr_assert_geq(cold_walk(&chill.rig.memory, chill.now_ns), 0);
	}
	done = true;
	pthread_join(writer, &wrong);
	cr_expect_null(wrong);
	cr_expect_gt(chill.rig.guest.space->counters.cold, 1000);
	mem_guest_settle(&chill.rig.guest);
	stop(&chill);
}
