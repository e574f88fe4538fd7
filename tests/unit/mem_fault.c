/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of fault, and each way a page comes back, seen by a real userfaultfd. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/fill.h"
#include "mem/uffd.h"
#include "tests/unit/mem_rig.h"

#define ALL_GROUPS UINT32_MAX

/* A guest of one region and a half, on small pages. */
static void start_small(struct mem_rig *rig, bool with_disk)
{
	struct mem_guest_options options = {.bytes = 4 * MiB, .small = true};

	mem_rig_start_with(rig, &options, 64 * MiB, with_disk);
}

static u64 latencies(struct mem_rig *rig, enum page_state state)
{
	struct space *space = rig->guest.space;
	u64 count;

	pthread_mutex_lock(&space->hist_lock);
	count = space->fault_latency[state].count;
	pthread_mutex_unlock(&space->hist_lock);
	return count;
}

Test(mem_fault, untouched_memory_reads_zero)
{
	struct mem_rig rig;

	start_small(&rig, false);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 0), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_geq(rig.guest.space->counters.missing, 1);
	cr_expect_geq(latencies(&rig, PAGE_ZERO), 1);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), 4 * MiB / PAGE_SIZE);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_fault, an_unmapped_page_comes_back_without_anybody_noticing)
{
	struct mem_rig rig;
	struct space_counters *counters;

	start_small(&rig, false);
	counters = &rig.guest.space->counters;
	mem_guest_write(&rig.guest, 1, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(counters->missing, 1);
	madvise(rig.guest.ram, REGION_SIZE, MADV_DONTNEED);
	cr_expect(mem_guest_check(&rig.guest, 1, 1));
	mem_guest_write(&rig.guest, 1, 2);
	cr_expect(mem_guest_check(&rig.guest, 1, 2));
	mem_guest_settle(&rig.guest);
	cr_expect_eq(counters->missing + counters->minor + counters->wp, 1);
	mem_rig_stop(&rig);
}

Test(mem_fault, a_protected_page_stays_protected_while_it_is_unmapped)
{
	struct mem_rig rig;

	start_small(&rig, false);
	mem_guest_write(&rig.guest, 1, 1);
	cr_assert_eq(uffd_protect(rig.guest.uffd, (u64)(uintptr_t)rig.guest.ram, 64 * KiB), 0);
	madvise(rig.guest.ram, REGION_SIZE, MADV_DONTNEED);
	cr_expect(mem_guest_check(&rig.guest, 1, 1));
	cr_expect_eq(rig.guest.space->counters.wp, 0);
	mem_guest_write(&rig.guest, 1, 2);
	cr_expect_eq(rig.guest.space->counters.wp, 1);
	cr_expect(mem_guest_check(&rig.guest, 1, 2));
	mem_rig_stop(&rig);
}

Test(mem_fault, a_protected_page_is_written_after_a_wp_fault)
{
	struct mem_rig rig;

	start_small(&rig, false);
	mem_guest_write(&rig.guest, 1, 1);
	cr_assert_eq(uffd_protect(rig.guest.uffd, (u64)(uintptr_t)rig.guest.ram, 64 * KiB), 0);
	cr_expect(mem_guest_check(&rig.guest, 1, 1));
	cr_expect_eq(rig.guest.space->counters.wp, 0);
	mem_guest_write(&rig.guest, 1, 2);
	cr_expect_eq(rig.guest.space->counters.wp, 1);
	cr_expect(mem_guest_check(&rig.guest, 1, 2));
	mem_rig_stop(&rig);
}

Test(mem_fault, same_filled_pages_come_back_from_their_descriptors)
{
	struct mem_rig rig;

	start_small(&rig, false);
	mem_guest_write_all(&rig.guest, 9);
	mem_guest_evict_all(&rig.guest);
	cr_expect_eq(mem_guest_state(&rig.guest, 3), PAGE_SAME);
	cr_expect_eq(mem_guest_state(&rig.guest, 5), PAGE_ZERO);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), 0);
	cr_expect(mem_guest_check(&rig.guest, 3, 9));
	cr_expect(mem_guest_check(&rig.guest, 5, 9));
	mem_guest_settle(&rig.guest);
	cr_expect_eq(latencies(&rig, PAGE_SAME), 1);
	mem_rig_stop(&rig);
}

Test(mem_fault, compressed_pages_come_back)
{
	struct mem_rig rig;

	start_small(&rig, false);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_evict_all(&rig.guest);
	cr_expect_eq(mem_guest_state(&rig.guest, 4), PAGE_COMPRESSED);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_geq(latencies(&rig, PAGE_COMPRESSED), 1);
	cr_expect_eq(rig.pool.stored, 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_fault, pages_on_disk_come_back)
{
	struct mem_rig rig;

	start_small(&rig, true);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_evict_all(&rig.guest);
	cr_expect_eq(mem_guest_state(&rig.guest, 1), PAGE_DISK);
	cr_expect(mem_guest_check(&rig.guest, 1, 2));
	mem_guest_settle(&rig.guest);
	cr_expect_eq(latencies(&rig, PAGE_DISK), 1);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(rig.disk.stored, 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

static void *check_page_7(void *argument)
{
	struct mem_guest *guest = argument;

	cr_expect(mem_guest_check(guest, 7, 2));
	return NULL;
}

/* One thread waits for the disk; the guest's other faults are served meanwhile. */
Test(mem_fault, a_slow_page_holds_up_nobody_else)
{
	struct mem_rig rig;
	pthread_t thread;

	start_small(&rig, true);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_evict_all(&rig.guest);
	rig.disk.paused = true;
	pthread_create(&thread, NULL, check_page_7, &rig.guest);
	while (!page_word_busy(page_table_read(&rig.guest.space->table, 7)))
		usleep(100);
	for (u64 i = 512; i < 1024; i += 2)
		cr_expect(mem_guest_check(&rig.guest, i, 2));
	cr_expect_neq(mem_guest_state(&rig.guest, 7), PAGE_RESIDENT);
	vault_resume(&rig.disk);
	pthread_join(thread, NULL);
	mem_rig_stop(&rig);
}

/* What nobody waits for stands in nobody's way: little of it is under way for a guest, however much it could want. */
Test(mem_fault, few_loads_are_ahead_of_a_guest, .timeout = 60)
{
	struct mem_rig rig;

	start_small(&rig, true);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_evict_all(&rig.guest);
	rig.disk.paused = true;
	for (u64 place = 0; place < REGION_PAGES; place += 8 * GROUP_PAGES)
		cr_expect(mem_guest_check(&rig.guest, place, 2));
	while (!rig.guest.space->reading_ahead)
		usleep(1000);
	for (u32 i = 0; i < 20; i++) {
		usleep(1000);
		cr_expect_leq(rig.guest.space->reading_ahead, 4);
	}
	vault_resume(&rig.disk);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(rig.guest.space->reading_ahead, 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

/* ---- whole regions ---- */

static u64 whole(const struct mem_rig *rig)
{
	return rig->guest.space->counters.whole_regions;
}

/* Nobody took one since the last time. */
Test(mem_fault, buffers_that_are_not_needed_are_freed)
{
	struct mem_rig rig;
	struct memory *memory = &rig.memory;
	u32 kept;

	start_small(&rig, false);
	for (u64 round = 1; round < 8; round++) {
		mem_guest_write_all(&rig.guest, round);
		mem_guest_evict_all(&rig.guest);
		cr_expect_eq(mem_guest_check_all(&rig.guest, round), 0);
		mem_guest_settle(&rig.guest);
		kept = memory->fills_kept;
		fill_trim(memory);
		cr_expect_leq(memory->fills_kept, kept);
	}
	fill_trim(memory);
	cr_expect_eq(memory->fills_kept, 0, "nobody needed one");
	cr_expect_null(memory->fills);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 7), 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_region, a_first_touch_fills_a_region_and_hands_it_over)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	mem_guest_write(&rig.guest, 100, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(whole(&rig), 1);
	cr_expect_eq(rig.guest.space->regions[0].resident, REGION_PAGES);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), REGION_PAGES);
	/* No further event from it. */
	mem_guest_write(&rig.guest, 0, 1);
	mem_guest_write(&rig.guest, 511, 1);
	cr_expect_eq(rig.guest.space->counters.missing, 1);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_region, is_evicted_whole_and_comes_back_whole)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 3);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(whole(&rig), 2);
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), REGION_PAGES);
	cr_expect_eq(whole(&rig), 1);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), REGION_PAGES);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 3), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(whole(&rig), 2);
	cr_expect_eq(rig.pool.stored, 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_region, is_broken_in_part_and_made_whole_again)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 4 * MiB, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 3);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, 0x5), 2 * GROUP_PAGES);
	cr_expect_eq(whole(&rig), 1);
	cr_expect_eq(rig.guest.space->regions[0].mapping, REGION_ARMED);
	cr_expect_eq(rig.guest.space->regions[0].resident, REGION_PAGES - 2 * GROUP_PAGES);
	mem_rig_check_counters(&rig);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 3), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(whole(&rig), 2);
	cr_expect_not(rig.guest.space->regions[0].huge);
	mem_guest_write_all(&rig.guest, 4);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 4), 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_region, is_collapsed_into_a_huge_page_once_whole)
{
	struct mem_guest_options options = {.bytes = 2 * MiB, .pidfd = true};
	struct mem_rig rig;
	int result;

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 3);
	evict_pages(rig.guest.space, 0, REGION_PAGES, 0x1);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 3), 0);
	mem_guest_settle(&rig.guest);
	cr_assert_eq(rig.guest.space->regions[0].mapping, REGION_WHOLE);
	result = region_collapse(rig.guest.space, 0);
	if (result == -EINVAL || result == -ENOSYS || result == -EPERM)
		cr_skip_test("this kernel does not collapse shared memory on demand");
	cr_expect_eq(result, 0, "%d", result);
	cr_expect(rig.guest.space->regions[0].huge);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 3), 0);
	/* And goes again in one piece. */
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, ALL_GROUPS), REGION_PAGES);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 3), 0);
	mem_rig_stop(&rig);
}

Test(mem_region, is_not_filled_whole_when_memory_is_short)
{
	struct mem_rig rig;

	mem_rig_start(&rig, 8 * MiB, 4 * MiB, false);
	mem_guest_write(&rig.guest, 0, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(whole(&rig), 0);
	cr_expect_lt(rig.guest.space->regions[0].resident, REGION_PAGES);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

/* ---- memory the VMM drops itself ---- */

static void start_removing(struct mem_rig *rig, bool huge)
{
	struct mem_guest_options options = {.bytes = 4 * MiB, .removes = true, .small = !huge};

	mem_rig_start_with(rig, &options, 64 * MiB, true);
	mem_guest_write_all(&rig->guest, 1);
}

static void check_removed(struct mem_rig *rig, u64 first, u64 count)
{
	for (u64 i = 0; i < rig->guest.bytes / PAGE_SIZE; i++) {
		bool removed = i >= first && i < first + count;

		cr_assert(mem_guest_check(&rig->guest, i, removed ? 0 : 1), "page %lu", i);
	}
	mem_guest_settle(&rig->guest);
	cr_expect_not(rig->guest.failed, "%s", rig->guest.why);
	mem_guest_check_counters(&rig->guest);
}

Test(mem_remove, a_region_that_stays_watched_is_mapped_at_its_first_touch)
{
	struct mem_rig rig;

	start_removing(&rig, true);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(whole(&rig), 0);
	cr_expect_eq(rig.guest.space->counters.missing, 2);
	cr_expect_eq(rig.guest.space->counters.minor, 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_remove, resident_pages_read_zero_and_give_their_memory_back)
{
	struct mem_rig rig;

	start_removing(&rig, false);
	cr_assert_eq(madvise(rig.guest.ram + 64 * KiB, 1 * MiB, MADV_REMOVE), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(rig.guest.space->counters.removed, 256);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), 1024 - 256);
	mem_rig_check_counters(&rig);
	check_removed(&rig, 16, 256);
	mem_rig_stop(&rig);
}

Test(mem_remove, stored_pages_read_zero_and_are_forgotten)
{
	struct mem_rig rig;
	u64 stored;

	start_removing(&rig, false);
	mem_guest_evict_all(&rig.guest);
	stored = rig.pool.stored + rig.disk.stored;
	cr_assert_eq(madvise(rig.guest.ram + 64 * KiB, 1 * MiB, MADV_REMOVE), 0);
	mem_guest_settle(&rig.guest);
	cr_expect_lt(rig.pool.stored + rig.disk.stored, stored - 150);
	check_removed(&rig, 16, 256);
	mem_rig_stop(&rig);
}

Test(mem_remove, pages_of_a_huge_page_read_zero)
{
	struct mem_rig rig;

	start_removing(&rig, true);
	cr_assert_eq(madvise(rig.guest.ram + 64 * KiB, 1 * MiB, MADV_REMOVE), 0);
	check_removed(&rig, 16, 256);
	cr_assert_eq(madvise(rig.guest.ram + 64 * KiB, 1 * MiB, MADV_REMOVE), 0);
	mem_guest_evict_all(&rig.guest);
	check_removed(&rig, 16, 256);
	mem_rig_stop(&rig);
}
