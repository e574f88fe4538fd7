/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of which every other page is shared, mapped in one piece: what is between stays its guest's, whatever comes. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "mem/drop.h"
#include "mem/evict.h"
#include "mem/remap.h"
#include "tests/unit/ksm_rig.h"

#define BYTES	(4 * MiB)
#define PAGES	(BYTES / PAGE_SIZE)
#define REGIONS (BYTES / REGION_SIZE)
#define COMMON	1U

static const struct ksm_rig_options plain = {.bytes = BYTES};

/* What guest `guest` has in a page: odd ones are alike in all. */
static u64 content_of(u32 guest, u64 index)
{
	return index % 2 ? COMMON : 10 + guest;
}

static void fill(struct ksm_rig *rig, u32 guest)
{
	for (u64 i = 0; i < PAGES; i++)
		ksm_rig_write(&rig->guests[guest], i, content_of(guest, i));
}

/* How many pages of a guest are not as they were filled. */
static u64 wrong_pages(const struct ksm_rig *rig, u32 guest)
{
	u64 wrong = 0;

	for (u64 i = 0; i < PAGES; i++)
		wrong += !ksm_rig_check(&rig->guests[guest], i, content_of(guest, i));
	return wrong;
}

static void expect_all_right(const struct ksm_rig *rig)
{
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		cr_expect(!rig->guests[i].failed, "%s", rig->guests[i].why);
		cr_expect_eq(wrong_pages(rig, i), 0, "guest %u", i);
	}
}

static void start_filled(struct ksm_rig *rig, const struct ksm_rig_options *options)
{
	ksm_rig_start(rig, options);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		fill(rig, i);
}

static void start_with(struct ksm_rig *rig, const struct ksm_rig_options *options)
{
	start_filled(rig, options);
	ksm_rig_scan(rig);
}

static void start(struct ksm_rig *rig)
{
	start_with(rig, &plain);
	cr_assert_eq(ksm_rig_stats(rig).sheets, KSM_RIG_GUESTS * REGIONS);
}

/* The index of pages seen forgets some, which are not found to be alike. */
static void expect_nearly(u64 figure, u64 wanted)
{
	cr_expect(figure <= wanted + wanted / 20 && figure >= wanted - wanted / 20,
		  "%lu where %lu were wanted", figure, wanted);
}

static void stop(struct ksm_rig *rig)
{
	ksm_rig_audit(rig);
	ksm_rig_stop(rig);
}

Test(ksm_sheet, scattered_pages_take_one_mapping_a_region)
{
	struct ksm_stats stats;
	struct ksm_rig rig;

	start(&rig);
	stats = ksm_rig_stats(&rig);
	expect_nearly(stats.pages_shared, PAGES / 2);
	expect_nearly(stats.pages_sharing, (KSM_RIG_GUESTS - 1) * PAGES / 2);
	expect_nearly(stats.pages_own, KSM_RIG_GUESTS * PAGES / 2);
	cr_expect_leq(stats.vmas, KSM_RIG_GUESTS * REGIONS);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_eq(mem_guest_file_pages(&rig.guests[i]), 0);
	expect_all_right(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, 0);
	stop(&rig);
}

Test(ksm_sheet, huge_pages_become_sheets_as_small_ones_do)
{
	static const struct ksm_rig_options small = {.bytes = BYTES, .small = true};
	struct ksm_rig rig;

	start_with(&rig, &small);
	cr_expect_eq(ksm_rig_stats(&rig).sheets, KSM_RIG_GUESTS * REGIONS);
	expect_all_right(&rig);
	stop(&rig);
}

Test(ksm_sheet, what_is_written_is_its_guests_alone_and_stays)
{
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_write(&rig.guests[0], 77, 5); /* shared */
	ksm_rig_write(&rig.guests[0], 80, 6); /* its own */
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, 1);
	cr_expect_eq(wrong_pages(&rig, 1) + wrong_pages(&rig, 2), 0);
	cr_expect_eq(wrong_pages(&rig, 0), 2);
	cr_expect_eq(ksm_bring_home(rig.ksm), 0);
	cr_expect(ksm_rig_check(&rig.guests[0], 77, 5));
	cr_expect(ksm_rig_check(&rig.guests[0], 80, 6));
	stop(&rig);
}

/* Where they can be evicted. */
Test(ksm_sheet, when_memory_is_short_own_pages_come_home)
{
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_write(&rig.guests[2], 77, 5);
	atomic_store(&rig.memory.reclaiming, true);
	expect_nearly(ksm_bring_home(rig.ksm), KSM_RIG_GUESTS * PAGES / 2);
	cr_expect_eq(ksm_rig_stats(&rig).pages_own, 0);
	expect_nearly(mem_guest_file_pages(&rig.guests[0]), PAGES / 2);
	cr_expect_eq(wrong_pages(&rig, 0) + wrong_pages(&rig, 1), 0);
	cr_expect_eq(wrong_pages(&rig, 2), 1);
	stop(&rig);
}

/* Nobody has mapped it there, which does not say that nobody uses it. */
Test(ksm_sheet, what_came_home_is_not_taken_for_cold)
{
	struct region *region;
	struct ksm_rig rig;

	start(&rig);
	region = space_region(rig.guests[1].space, 0);
	region->unmapped_s = 5;
	region->sampled = true;
	region->used = 0;
	atomic_store(&rig.memory.reclaiming, true);
	ksm_bring_home(rig.ksm);
	cr_expect_eq(region->unmapped_s, 0);
	cr_expect_neq(region->used, 0);
	region->sampled = false;
	stop(&rig);
}

Test(ksm_sheet, where_mappings_are_few_all_of_the_region_comes_home)
{
	static const struct ksm_rig_options few = {.bytes = BYTES, .vma_budget = 100};
	struct ksm_rig rig;

	start_with(&rig, &few);
	cr_expect_gt(ksm_rig_stats(&rig).pages_own, 0);
	atomic_store(&rig.memory.reclaiming, true);
	ksm_bring_home(rig.ksm);
	cr_expect_eq(ksm_rig_stats(&rig).pages_own, 0);
	cr_expect_leq(ksm_rig_stats(&rig).vmas, KSM_RIG_GUESTS * 100);
	expect_all_right(&rig);
	stop(&rig);
}

/* As when somebody wants memory of one guest alone. */
Test(ksm_sheet, own_pages_of_a_guest_that_is_reclaimed_from_come_home)
{
	struct ksm_rig rig;

	start(&rig);
	atomic_store(&rig.guests[1].space->reclaimed_from, 1);
	expect_nearly(ksm_bring_home(rig.ksm), PAGES / 2);
	cr_expect_eq(atomic_load(&rig.guests[1].space->counters.own), 0);
	cr_expect_gt(atomic_load(&rig.guests[0].space->counters.own), 0);
	expect_all_right(&rig);
	stop(&rig);
}

/* With room for a few pages only. */
Test(ksm_sheet, own_pages_come_home_a_few_at_a_time)
{
	struct ksm_rig rig;
	u64 taken;

	start(&rig);
	taken = budget_free(&rig.memory.budget) - rig.memory.budget.min - 40 * PAGE_SIZE;
	cr_assert(budget_take(&rig.memory.budget, taken, BUDGET_NORMAL));
	ksm_bring_home(rig.ksm);
	cr_expect_eq(ksm_rig_stats(&rig).pages_own, 0);
	budget_give(&rig.memory.budget, taken);
	expect_all_right(&rig);
	stop(&rig);
}

Test(ksm_sheet, unmerging_ends_sheets)
{
	struct ksm_rig rig;

	start(&rig);
	cr_expect_eq(ksm_unmerge(rig.ksm), KSM_RIG_GUESTS * PAGES);
	cr_expect_eq(ksm_rig_stats(&rig).vmas, 0);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[1]), PAGES);
	expect_all_right(&rig);
	stop(&rig);
}

Test(ksm_sheet, the_end_of_a_guest_takes_its_own_pages_along)
{
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_write(&rig.guests[0], 77, 5);
	mem_guest_end(&rig.guests[0]);
	expect_nearly(ksm_rig_stats(&rig).pages_own, (KSM_RIG_GUESTS - 1) * PAGES / 2);
	cr_expect_eq(wrong_pages(&rig, 1) + wrong_pages(&rig, 2), 0);
	stop(&rig);
}

Test(ksm_sheet, what_a_guest_gives_up_in_a_sheet_is_zero)
{
	struct ksm_rig rig;

	start(&rig);
	cr_expect_eq(drop_pages(rig.guests[0].space, 100, 50, PAGE_ZERO), 50);
	for (u64 i = 100; i < 150; i++)
		cr_expect_eq(rig.guests[0].ram[i * PAGE_SIZE], 0);
	cr_expect_eq(wrong_pages(&rig, 0), 50);
	cr_expect_eq(wrong_pages(&rig, 1) + wrong_pages(&rig, 2), 0);
	stop(&rig);
}

Test(ksm_sheet, frames_leave_and_come_back_between_own_pages)
{
	static const struct ksm_rig_options swap = {.bytes = BYTES, .swap = true};
	struct ksm_rig rig;

	start_with(&rig, &swap);
	cr_expect_gt(ksm_rig_stats(&rig).pages_own, 0);
	cr_expect_gt(ksm_rig_evict_frames(&rig), 0);
	expect_all_right(&rig);
	cr_expect_gt(ksm_rig_stats(&rig).frames_came, 0);
	stop(&rig);
}

/* All of a sheet must be there: where a page is not, runs are mapped one by one. */
Test(ksm_sheet, a_region_with_absent_pages_is_none)
{
	struct ksm_rig rig;

	ksm_rig_start(&rig, &plain);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		fill(&rig, i);
		drop_pages(rig.guests[i].space, 6, 1, PAGE_ZERO);
	}
	ksm_rig_scan(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).sheets, KSM_RIG_GUESTS * (REGIONS - 1));
	expect_nearly(ksm_rig_stats(&rig).pages_sharing, (KSM_RIG_GUESTS - 1) * PAGES / 2);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_eq(wrong_pages(&rig, i), 1);
	stop(&rig);
}

/* A third guest has what was one's own, and nothing else. */
static void fill_as_own(struct ksm_rig *rig, const struct ksm_rig_options *options)
{
	ksm_rig_start(rig, options);
	fill(rig, 0);
	fill(rig, 1);
	ksm_rig_scan(rig);
	expect_nearly(ksm_rig_stats(rig).pages_sharing, PAGES / 2);
	for (u64 i = 0; i < PAGES; i++)
		ksm_rig_write(&rig->guests[2], i, i % 2 ? 50 : content_of(0, i));
	ksm_rig_scan(rig);
	cr_expect_eq(wrong_pages(rig, 0) + wrong_pages(rig, 1), 0);
	cr_expect_eq(wrong_pages(rig, 2), PAGES);
}

Test(ksm_sheet, own_pages_are_shared_when_another_guest_has_them)
{
	struct ksm_rig rig;

	fill_as_own(&rig, &plain);
	expect_nearly(ksm_rig_stats(&rig).pages_sharing, PAGES);
	stop(&rig);
}

/* ... but not when what is left of it would take more mappings than there are. */
Test(ksm_sheet, where_mappings_are_few_own_pages_stay)
{
	static const struct ksm_rig_options few = {.bytes = BYTES, .vma_budget = 100};
	struct ksm_rig rig;

	fill_as_own(&rig, &few);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_leq(atomic_load(&rig.guests[i].space->counters.vmas), 100);
	expect_nearly(ksm_rig_stats(&rig).pages_sharing, PAGES / 2);
	stop(&rig);
}

/* Between the move and the watch. */
static void write_unseen(struct mem_guest *guest, const struct space_remap *range)
{
	u64 first = range->file_offset / PAGE_SIZE;

	ksm_rig_write(guest, first + 77, 5);
	ksm_rig_write(guest, first + 80, 6);
}

Test(ksm_sheet, writes_before_anyone_watches_are_found)
{
	struct ksm_rig rig;

	ksm_rig_start(&rig, &plain);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		fill(&rig, i);
		rig.guests[i].mapped = write_unseen;
	}
	ksm_rig_scan(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).sheets, KSM_RIG_GUESTS * REGIONS);
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, KSM_RIG_GUESTS * REGIONS);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		cr_expect_eq(wrong_pages(&rig, i), 2 * REGIONS);
		cr_expect(ksm_rig_check(&rig.guests[i], 77, 5));
		cr_expect(ksm_rig_check(&rig.guests[i], 80, 6));
	}
	stop(&rig);
}

/* Colliding hashes: what was taken for alike is not, most of it, and the region stays as it was. */
Test(ksm_sheet, a_sheet_that_few_pages_fit_is_given_up)
{
	struct ksm_rig rig;

	ksm_test_hash_bits = 4;
	start_with(&rig, &plain);
	expect_all_right(&rig);
	stop(&rig);
	ksm_test_hash_bits = 64;
}

Test(ksm_sheet, without_memory_for_own_pages_there_is_no_sheet)
{
	struct ksm_rig rig;
	u64 taken;

	start_filled(&rig, &plain);
	taken = budget_free(&rig.memory.budget) - 2 * MiB - rig.memory.budget.high;
	cr_assert(budget_take(&rig.memory.budget, taken, BUDGET_NORMAL));
	ksm_rig_scan(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).sheets, 0);
	expect_nearly(ksm_rig_stats(&rig).pages_sharing, (KSM_RIG_GUESTS - 1) * PAGES / 2);
	budget_give(&rig.memory.budget, taken);
	expect_all_right(&rig);
	stop(&rig);
}

/* Of all guests together, since nothing can evict it: the rest is mapped run by run. */
Test(ksm_sheet, what_is_its_guests_own_is_bounded)
{
	static const struct ksm_rig_options tight = {.bytes = BYTES, .budget = 19 * MiB};
	struct ksm_rig rig;
	u64 own;

	start_with(&rig, &tight);
	own = ksm_rig_stats(&rig).pages_own * PAGE_SIZE;
	cr_expect_gt(own, tight.budget / 8);
	cr_expect_leq(own, tight.budget / 4 + REGION_SIZE / 2);
	expect_nearly(ksm_rig_stats(&rig).pages_sharing, (KSM_RIG_GUESTS - 1) * PAGES / 2);
	expect_all_right(&rig);
	stop(&rig);
}

/* As when it is about to change its domain. */
static void leave_domain(struct mem_guest *guest)
{
	atomic_store(&guest->space->salt, SALT_ALONE);
}

Test(ksm_sheet, who_leaves_its_domain_meanwhile_shares_nothing)
{
	struct ksm_rig rig;

	start_filled(&rig, &plain);
	rig.guests[1].staged = leave_domain;
	ksm_rig_scan(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).sheets, (KSM_RIG_GUESTS - 1) * REGIONS);
	cr_expect_eq(atomic_load(&rig.guests[1].space->counters.foreign), 0);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[1]), PAGES);
	expect_all_right(&rig);
	stop(&rig);
}

/* Its VMM is gone, or cannot do what it is asked: nothing of the others is lost, and all memory is accounted for. */
static void expect_survivors(struct mem_guest *lost, struct ksm_rig *rig)
{
	u32 number = (u32)(lost - rig->guests);

	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		if (i != number)
			cr_expect_eq(wrong_pages(rig, i), 0);
	mem_guest_end(lost);
	stop(rig);
}

Test(ksm_sheet, a_vmm_that_is_gone_is_no_loss_to_others)
{
	struct ksm_rig rig;

	start_filled(&rig, &plain);
	space_gone(rig.guests[1].space);
	ksm_rig_scan(&rig);
	expect_survivors(&rig.guests[1], &rig);
}

static void start_refusing(struct ksm_rig *rig, u64 refused)
{
	start_filled(rig, &plain);
	rig->guests[1].refused = refused;
	ksm_rig_scan(rig);
	cr_expect(rig->guests[1].failed);
}

Test(ksm_sheet, a_vmm_that_cannot_move_its_region_is_stopped)
{
	struct ksm_rig rig;

	start_refusing(&rig, SPACE_REMAP_MOVE);
	expect_survivors(&rig.guests[1], &rig);
}

/* Nor does it ever come to be known what that is: it counts until the guest has ended. */
Test(ksm_sheet, a_vmm_that_cannot_stage_is_stopped)
{
	struct ksm_rig rig;

	start_refusing(&rig, SPACE_REMAP_STAGE);
	cr_expect_eq(rig.guests[1].space->remap.stray_bytes, REGION_SIZE);
	expect_survivors(&rig.guests[1], &rig);
}

/* What a VMM that was taken over may do: its guest is stopped, and nobody waits for it. */
static void start_and_drop(struct ksm_rig *rig)
{
	start(rig);
	cr_assert(!madvise(rig->guests[1].ram + 80 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
}

Test(ksm_sheet, an_own_page_that_its_vmm_drops_stops_its_guest)
{
	struct ksm_rig rig;

	start_and_drop(&rig);
	cr_expect_eq(rig.guests[1].ram[80 * PAGE_SIZE], 0);
	for (u32 i = 0; i < 5000 && !rig.guests[1].failed; i++)
		usleep(1000);
	cr_expect(rig.guests[1].failed);
	expect_survivors(&rig.guests[1], &rig);
}

Test(ksm_sheet, an_own_page_that_its_vmm_drops_holds_up_nobody_on_its_way_home)
{
	struct ksm_rig rig;

	start_and_drop(&rig);
	atomic_store(&rig.memory.reclaiming, true);
	ksm_bring_home(rig.ksm);
	cr_expect(rig.guests[1].failed);
	expect_survivors(&rig.guests[1], &rig);
}

/* Maps what it was not asked to, which has nothing in it, and says it has. */
static void map_nothing(struct mem_guest *guest, const struct space_remap *range)
{
	u64 unused = (KSM_RIG_GUESTS - 1) * BYTES;

	syscall(SYS_mmap, guest->ram + range->file_offset, range->length, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_FIXED, guest->options.frames, unused);
}

static void *scan(void *rig)
{
	ksm_rig_scan(rig);
	return NULL;
}

Test(ksm_sheet, a_vmm_that_has_not_mapped_what_it_says_ends_without_being_waited_for)
{
	struct ksm_rig rig;
	pthread_t scanner;

	start_filled(&rig, &plain);
	rig.guests[1].mapped = map_nothing;
	pthread_create(&scanner, NULL, scan, &rig);
	while (!remap_is_stuck(rig.guests[1].space, clock_now_ns() + 29990 * NSEC_PER_MSEC))
		usleep(1000);
	space_gone(rig.guests[1].space);
	mem_guest_end(&rig.guests[1]);
	pthread_join(scanner, NULL);
	cr_expect_eq(wrong_pages(&rig, 0) + wrong_pages(&rig, 2), 0);
	stop(&rig);
}

/* A page is written while its region becomes a sheet: by hand, since the scanner would wait for it to rest. */
static u64 lost_on_the_way_out(u64 place)
{
	struct plan plan = {.count = 0};
	u64 lost = 0;

	for (u32 i = 1; i < REGION_PAGES; i += 2) {
		plan_share(&plan, i, i);
		bits_put(plan.promote, i, true);
	}
	for (u32 tries = 0; tries < 40 && !lost; tries++) {
		struct ksm_rig rig;
		struct ksm_hammer hammer;

		ksm_rig_start(&rig, &plain);
		fill(&rig, 0);
		ksm_hammer_start(&hammer, &rig.guests[0], place);
		for (u32 i = 0; i < 5; i++) {
			cr_expect_gt(sheet_region(rig.ksm, rig.guests[0].space, 0, &plan), 0);
			remap_home(rig.guests[0].space, 0, true);
		}
		lost = ksm_hammer_stop(&hammer);
		ksm_rig_stop(&rig);
		if (!remap_test_skip_protect && tries == 3)
			break;
	}
	return lost;
}

/* A sheet that its pages do not fit is given up: of 256 pages only these few may become frames. */
static s64 give_up_sheet(struct ksm_rig *rig)
{
	struct plan plan = {.count = 0};

	for (u32 i = 1; i < REGION_PAGES; i += 2)
		plan_share(&plan, i, i);
	for (u32 i = 1; i < 17; i += 2)
		bits_put(plan.promote, i, true);
	return sheet_region(rig->ksm, rig->guests[0].space, 0, &plan);
}

/* All of a region is writable then: what its guest has called free it may use unseen. */
Test(ksm_sheet, nothing_is_hinted_any_more_when_a_sheet_is_given_up)
{
	static const struct ksm_rig_options small = {.bytes = BYTES, .small = true};
	struct space *space;
	struct ksm_rig rig;

	ksm_rig_start(&rig, &small);
	fill(&rig, 0);
	space = rig.guests[0].space;
	cr_expect_eq(drop_hinted(space, 0, REGION_PAGES, 1), 0);
	cr_expect_eq(give_up_sheet(&rig), 0);
	cr_expect_eq(ksm_rig_stats(&rig).pages_shared, 0);
	ksm_rig_write(&rig.guests[0], 80, 5);
	cr_expect_eq(drop_hinted(space, 0, REGION_PAGES, 2), 0);
	cr_expect(ksm_rig_check(&rig.guests[0], 80, 5));
	cr_expect_eq(wrong_pages(&rig, 0), 1);
	stop(&rig);
}

Test(ksm_sheet, no_write_is_lost_on_the_way_out)
{
	cr_expect_eq(lost_on_the_way_out(8), 0);
	cr_expect_eq(lost_on_the_way_out(9), 0);
}

Test(ksm_sheet, without_protection_writes_are_lost_on_the_way_out)
{
	remap_test_skip_protect = true;
	cr_expect_gt(lost_on_the_way_out(8), 0, "the race this protects from was not hit");
	remap_test_skip_protect = false;
}

/* Between the move and the watch a page that is not there would be taken from the frames' file: that is what the stage is for. */
static _Atomic u64 misread;

static void read_unseen(struct mem_guest *guest, const struct space_remap *range)
{
	const u8 *page = guest->ram + range->file_offset + 80 * PAGE_SIZE;

	misread += !page[0] && !page[99] && !page[PAGE_SIZE - 1];
}

static u64 misread_on_the_way_out(void)
{
	struct ksm_rig rig;

	misread = 0;
	ksm_rig_start(&rig, &plain);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		fill(&rig, i);
		rig.guests[i].mapped = read_unseen;
	}
	ksm_rig_scan(&rig);
	ksm_rig_stop(&rig);
	return misread;
}

Test(ksm_sheet, own_pages_are_there_before_anyone_watches)
{
	cr_expect_eq(misread_on_the_way_out(), 0);
}

Test(ksm_sheet, without_own_pages_in_the_stage_a_guest_reads_what_is_not_its_own)
{
	/* The look would wait for what is not there. */
	remap_test_skip_own = remap_test_skip_look = true;
	cr_expect_gt(misread_on_the_way_out(), 0);
	remap_test_skip_own = remap_test_skip_look = false;
}
