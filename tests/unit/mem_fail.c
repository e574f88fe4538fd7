/* SPDX-License-Identifier: Apache-2.0 */
/* When stores, disks and VMMs fail: pages stay where they are, and only the guest concerned stops. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/populate.h"
#include "mem/guard.h"
#include "mem/reclaim.h"
#include "mem/uffd.h"
#include "tests/unit/mem_rig.h"

#define ALL_GROUPS UINT32_MAX

/* A reclaimer that finds nothing. */
static u64 nothing_to_count(struct reclaimer *reclaimer)
{
	(void)reclaimer;
	return 0;
}

static s64 nothing_to_free(struct reclaimer *reclaimer, u64 bytes)
{
	(void)reclaimer, (void)bytes;
	return 0;
}

static const struct reclaimer_ops barren_ops = {
	.name = "barren",
	.count = nothing_to_count,
	.scan = nothing_to_free,
};

static void *touch_page_1(void *argument)
{
	struct mem_guest *guest = argument;

	(void)*(volatile u8 *)(guest->ram + PAGE_SIZE);
	return NULL;
}

static void wait_until_failed(const struct mem_guest *guest)
{
	for (u32 i = 0; i < 60000 && !guest->failed; i++)
		usleep(1000);
	cr_assert(guest->failed);
}

/* A guest touches a page that cannot be loaded; another guest of the same host goes on. */
static void fail_to_load(bool with_disk)
{
	struct mem_guest_options options = {.bytes = 4 * MiB};
	struct mem_guest other;
	struct mem_rig rig;
	pthread_t thread;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, with_disk);
	mem_guest_start(&other, &rig.memory, &options);
	mem_guest_write_all(&other, 5);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_evict_all(&rig.guest);
	if (with_disk)
		rig.disk.broken = true;
	else
		rig.pool.broken = true;
	pthread_create(&thread, NULL, touch_page_1, &rig.guest);
	wait_until_failed(&rig.guest);
	cr_expect(strstr(rig.guest.why, "page 1 cannot be read back"), "%s", rig.guest.why);
	cr_expect_not(other.failed);
	cr_expect_eq(mem_guest_check_all(&other, 5), 0);
	mem_guest_settle(&rig.guest);
	mem_guest_check_counters(&rig.guest);
	mem_guest_end(&rig.guest);
	pthread_join(thread, NULL);
	cr_expect_eq(rig.pool.stored + rig.disk.stored, 0);
	mem_guest_stop(&other);
	mem_rig_stop(&rig); /* checks that the budget has everything back */
}

Test(mem_fail, a_page_lost_in_the_pool_stops_its_guest_alone)
{
	fail_to_load(false);
}

Test(mem_fail, a_page_lost_on_disk_stops_its_guest_alone)
{
	fail_to_load(true);
}

Test(mem_fail, pages_whose_flush_fails_stay)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, true);
	mem_guest_write_all(&rig.guest, 2);
	rig.disk.flush_fails = true;
	/* The pool's half goes, the disk's stays. */
	cr_expect_gt(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), 200);
	cr_expect_eq(rig.disk.stored, 0);
	cr_expect_eq(mem_guest_state(&rig.guest, 1), PAGE_RESIDENT);
	cr_expect_eq(mem_guest_state(&rig.guest, 2), PAGE_COMPRESSED);
	mem_rig_check_counters(&rig);
	/* Again: nothing but such pages. */
	while (evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS) > 0)
		;
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), -EIO);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	cr_expect_not(rig.guest.failed);
	mem_rig_stop(&rig);
}

Test(mem_fail, a_full_store_leaves_everything_in_place)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 2);
	rig.pool.full = true;
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), -ENOSPC);
	cr_expect_eq(rig.guest.space->regions[0].resident, REGION_PAGES);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), 1024);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_check_counters(&rig);
	rig.pool.full = false;
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), REGION_PAGES);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_stop(&rig);
}

/* One page that nobody wants says nothing about the next. */
Test(mem_fail, pages_that_do_not_compress_keep_no_others_in_memory)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 2);
	rig.pool.refuse_odd = true;
	cr_expect_geq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), 256);
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), -E2BIG);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_stop(&rig);
}

Test(mem_fail, a_full_disk_does_not_close_the_pool)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, true);
	mem_guest_write_all(&rig.guest, 2);
	rig.disk.full = true;
	cr_expect_geq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), 256);
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), -E2BIG);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_stop(&rig);
}

Test(mem_fail, without_memory_or_reclaim_the_guest_is_told)
{
	struct mem_guest_options options = {.bytes = 4 * MiB, .small = true};
	struct mem_rig rig;
	pthread_t thread;

	mem_rig_start_with(&rig, &options, 4 * MiB, false);
	while (budget_take(&rig.memory.budget, PAGE_SIZE, BUDGET_NORMAL))
		;
	pthread_create(&thread, NULL, touch_page_1, &rig.guest);
	wait_until_failed(&rig.guest);
	cr_expect(strstr(rig.guest.why, "no memory for page 1"), "%s", rig.guest.why);
	mem_guest_settle(&rig.guest);
	mem_guest_check_counters(&rig.guest);
	mem_guest_end(&rig.guest);
	pthread_join(thread, NULL);
	rig.memory.budget.used = 0;
	mem_rig_stop(&rig);
}

/*
 * As long as an event of a discard is unread the kernel lets nobody take anything from that guest. The thread that
 * reads it is the one that waits for memory; here, memory that only the discard will give.
 */
Test(mem_fail, a_vmm_that_discards_is_heard_while_its_guest_waits_for_memory, .timeout = 60)
{
	struct mem_guest_options options = {.bytes = 8 * MiB, .small = true, .removes = true};
	struct reclaimer barren = {.ops = &barren_ops}, *reclaimers[] = {&barren, NULL};
	struct budget *budget;
	struct reclaim *reclaim;
	struct mem_rig rig;
	pthread_t thread;
	u64 charged;

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	budget = &rig.memory.budget;
	cr_assert_eq(reclaim_create(&rig.memory, reclaimers, 1000, &reclaim), 0);
	/* The handler is told of it. */
	atomic_store(&rig.guest.stop, false);
	mem_guest_settle(&rig.guest);
	for (u64 i = REGION_PAGES; i < REGION_PAGES + 64; i++)
		mem_guest_write(&rig.guest, i, 1);
	mem_guest_settle(&rig.guest);
	charged = budget_free(budget) - budget->min;
	budget_charge(budget, charged);
	pthread_create(&thread, NULL, touch_page_1, &rig.guest);
	while (!rig.memory.direct_reclaims)
		usleep(1000);
	cr_expect_eq(madvise(rig.guest.ram + REGION_SIZE, 64 * PAGE_SIZE, MADV_REMOVE), 0);
	pthread_join(thread, NULL);
	cr_expect_not(rig.guest.failed, "%s", rig.guest.why);
	budget_give(budget, charged);
	mem_guest_settle(&rig.guest);
	reclaim_destroy(reclaim);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

/* ---- a guest that touches what is on its way out ---- */

struct touched {
	struct mem_rig rig;
	pthread_t thread;
	u32 index;
	bool begun;
};

static struct touched *touched_of(struct vault *pool)
{
	return container_of(container_of(pool, struct mem_rig, pool), struct touched, rig);
}

static void *write_touched(void *argument)
{
	struct touched *touched = argument;

	mem_guest_write(&touched->rig.guest, touched->index, 3);
	return NULL;
}

/* While the page is being stored: the guest writes to it, and the store waits till that is known. */
static void touch_while_stored(struct vault *vault, u32 index)
{
	struct touched *touched = touched_of(vault);
	struct page_table *table = &touched->rig.guest.space->table;

	if (touched->begun || index != touched->index)
		return;
	touched->begun = true;
	pthread_create(&touched->thread, NULL, write_touched, touched);
	while (!page_word_waiter(page_table_read(table, index)))
		usleep(100);
}

static void cancel_by_touch(bool huge)
{
	struct mem_guest_options options = {.bytes = 2 * MiB, .small = !huge};
	struct touched touched = {.index = 18};
	struct mem_rig *rig = &touched.rig;

	mem_rig_start_with(rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig->guest, 2);
	rig->pool.storing = touch_while_stored;
	cr_expect_eq(evict_pages(rig->guest.space, 0, REGION_PAGES, ALL_GROUPS), REGION_PAGES - 1);
	pthread_join(touched.thread, NULL);
	rig->pool.storing = NULL;
	cr_expect_eq(rig->memory.evict_cancelled, 1);
	cr_expect_eq(mem_guest_state(&rig->guest, 18), PAGE_RESIDENT);
	cr_expect(mem_guest_check(&rig->guest, 18, 3));
	for (u64 i = 0; i < REGION_PAGES; i++)
		cr_assert(mem_guest_check(&rig->guest, i, i == 18 ? 3 : 2), "page %lu", i);
	mem_guest_settle(&rig->guest);
	mem_rig_check_counters(rig);
	mem_rig_stop(rig);
}

Test(mem_cancel, a_touched_page_stays_with_what_was_written)
{
	cancel_by_touch(false);
}

Test(mem_cancel, so_does_one_of_a_huge_page)
{
	cancel_by_touch(true);
}

/* What touch_while_stored() does, where nothing makes the writer wait. */
static void write_while_stored(struct vault *vault, u32 index)
{
	struct touched *touched = touched_of(vault);

	if (index == touched->index)
		write_touched(touched);
}

/* What the write-protect step is for: a write between the reading of a page and its end is lost. */
Test(mem_cancel, without_write_protection_what_was_written_is_lost)
{
	struct mem_guest_options options = {.bytes = 2 * MiB, .small = true};
	struct touched touched = {.index = 18};
	struct mem_rig *rig = &touched.rig;

	mem_rig_start_with(rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig->guest, 2);
	rig->pool.storing = write_while_stored;
	evict_test_skip_protect = true;
	cr_expect_eq(evict_pages(rig->guest.space, 0, REGION_PAGES, ALL_GROUPS), REGION_PAGES);
	evict_test_skip_protect = false;
	cr_expect(mem_guest_check(&rig->guest, 18, 2), "as it was read");
	mem_rig_stop(rig);
}

/* ---- a VMM that cuts its RAM file short ---- */

Test(mem_guard, a_range_that_has_lost_its_file_reads_as_something_and_says_so)
{
	struct guard guard, inner;
	struct mem_rig rig;
	u8 *alias;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	alias = rig.guest.space->alias;
	guard_begin(&guard, alias, REGION_SIZE);
	alias[5] = 1;
	cr_expect_not(guard_end(&guard));
	cr_assert_eq(ftruncate(rig.guest.space->options.ram, 2 * MiB), 0);
	guard_begin(&guard, alias, REGION_SIZE);
	guard_begin(&inner, alias + REGION_SIZE, REGION_SIZE);
	cr_expect_eq(alias[5], 1);
	alias[REGION_SIZE + 5] = 1;
	cr_expect(guard_end(&inner));
	cr_expect_not(guard_end(&guard));
	mem_rig_stop(&rig);
}

static void expect_cut_short(struct mem_rig *rig)
{
	cr_expect(rig->guest.failed);
	cr_expect(strstr(rig->guest.why, "cut it short"), "%s", rig->guest.why);
	mem_guest_settle(&rig->guest);
	mem_guest_check_counters(&rig->guest);
	mem_rig_stop(rig);
}

Test(mem_truncate, a_file_cut_short_while_it_is_evicted_stops_its_guest_alone)
{
	struct mem_guest_options options = {.bytes = 4 * MiB};
	struct mem_guest other;
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, true);
	mem_guest_start(&other, &rig.memory, &options);
	mem_guest_write_all(&other, 4);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_settle(&rig.guest);
	cr_assert(rig.guest.space->regions[1].huge);
	cr_assert_eq(ftruncate(rig.guest.space->options.ram, 3 * MiB), 0);
	cr_expect_eq(evict_pages(rig.guest.space, 512, REGION_PAGES, ALL_GROUPS), -ESRCH);
	cr_expect_eq(rig.pool.stored + rig.disk.stored, 0);
	cr_expect_gt(evict_pages(other.space, 0, REGION_PAGES, ALL_GROUPS), 0);
	cr_expect_eq(mem_guest_check_all(&other, 4), 0);
	mem_guest_stop(&other);
	expect_cut_short(&rig);
}

Test(mem_truncate, nor_do_small_pages_hurt_anybody_else)
{
	struct mem_guest_options options = {.bytes = 4 * MiB, .small = true};
	struct mem_rig rig;

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_settle(&rig.guest);
	cr_assert_eq(ftruncate(rig.guest.space->options.ram, 2 * MiB), 0);
	cr_expect_eq(evict_pages(rig.guest.space, 512, REGION_PAGES, ALL_GROUPS), -ESRCH);
	expect_cut_short(&rig);
}

Test(mem_truncate, a_file_cut_short_is_not_populated)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	cr_assert_eq(ftruncate(rig.guest.space->options.ram, 2 * MiB), 0);
	cr_expect_not(populate_region(rig.guest.space, 600, 0));
	cr_expect_not(populate_region(rig.guest.space, 600, 0));
	expect_cut_short(&rig);
}
