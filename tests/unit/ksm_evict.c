/* SPDX-License-Identifier: Apache-2.0 */
/* Shared frames leave memory when it is wanted elsewhere, for the real pool and swap file, and come back. */
#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "mem/drop.h"
#include "mem/remap.h"
#include "swap/swap.h"
#include "tests/unit/ksm_rig.h"

#define BYTES (4 * MiB)
#define PAGES (BYTES / PAGE_SIZE)

/* Guests 0 and 1 have all in common, and share it. */
static void start(struct ksm_rig *rig)
{
	const struct ksm_rig_options options = {.bytes = BYTES, .swap = true};

	ksm_rig_start(rig, &options);
	ksm_rig_fill(&rig->guests[0], 1);
	ksm_rig_fill(&rig->guests[1], 1);
	ksm_rig_scan(rig);
}

static u64 frames_in_memory(struct ksm_rig *rig)
{
	struct stat stat;

	cr_assert_eq(fstat(frames_fd(rig->ksm->domains[0].frames), &stat), 0);
	return (u64)stat.st_blocks * 512 / PAGE_SIZE;
}

Test(ksm_evict, frames_leave_memory_and_come_back_when_they_are_read)
{
	struct ksm_rig rig;
	u64 used;

	start(&rig);
	cr_assert_eq(frames_in_memory(&rig), PAGES);
	used = rig.memory.budget.used;
	cr_expect_eq(ksm_rig_evict_frames(&rig), PAGES);
	cr_expect_eq(frames_in_memory(&rig), 0);
	cr_expect_eq(ksm_rig_stats(&rig).frames_stored, PAGES);
	cr_expect_lt(rig.memory.budget.used + BYTES / 3, used);
	ksm_rig_audit(&rig);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 1), 0);
	cr_expect_eq(frames_in_memory(&rig), PAGES);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(ksm_rig_stats(&rig).frames_came, PAGES, "once for both");
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_evict, a_frame_that_came_back_is_spared_once)
{
	struct ksm_rig rig;
	struct reclaimer *frames;
	u64 left = 0;

	start(&rig);
	frames = rig.memory.sharing->frames;
	cr_expect_eq(ksm_rig_evict_frames(&rig), PAGES);
	for (u64 i = 0; i < 10; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, 1));
	cr_expect_eq(frames->ops->count(frames), 10 * PAGE_SIZE);
	/* Who brought the last of them may still hold it. */
	for (u32 i = 0; i < 1000 && left < 10; i++) {
		left += ksm_rig_evict_frames(&rig);
		usleep(1000);
	}
	cr_expect_eq(left, 10);
	ksm_rig_stop(&rig);
}

Test(ksm_evict, frames_come_back_from_the_swap_file)
{
	struct reclaimer *writeback;
	struct swap_stats stats;
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_evict_frames(&rig);
	writeback = swap_writeback(rig.swap);
	for (u32 i = 0; i < 2; i++)
		writeback->ops->scan(writeback, GiB);
	swap_stats(rig.swap, &stats);
	cr_expect_gt(stats.disk_pages, PAGES / 2);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 1), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_evict, a_write_to_a_frame_that_left_reaches_nobody_else)
{
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_evict_frames(&rig);
	for (u64 i = 0; i < PAGES; i += 3)
		ksm_rig_write(&rig.guests[0], i, 5);
	for (u64 i = 0; i < PAGES; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, i % 3 ? 1 : 5));
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, (PAGES + 2) / 3);
	ksm_rig_evict_frames(&rig);
	ksm_rig_audit(&rig);
	cr_expect_eq(ksm_bring_home(rig.ksm), (PAGES + 2) / 3);
	ksm_rig_evict_frames(&rig);
	ksm_rig_audit(&rig);
	for (u64 i = 0; i < PAGES; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, i % 3 ? 1 : 5));
	ksm_rig_stop(&rig);
}

Test(ksm_evict, frames_that_left_come_home_and_are_given_up)
{
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_evict_frames(&rig);
	cr_expect_eq(drop_pages(rig.guests[0].space, 0, 100, PAGE_BALLOONED), 100);
	ksm_rig_audit(&rig);
	cr_expect_eq(ksm_unmerge(rig.ksm), 2 * PAGES - 100);
	ksm_rig_audit(&rig);
	for (u64 i = 100; i < PAGES; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, 1));
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	ksm_rig_stop(&rig);
}

Test(ksm_evict, the_last_guest_takes_stored_frames_along)
{
	struct ksm_rig rig;

	start(&rig);
	ksm_rig_evict_frames(&rig);
	mem_guest_stop(&rig.guests[0]);
	cr_expect_eq(ksm_rig_stats(&rig).frames_stored, PAGES);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* What the missing faults are for, of a place whose frame has left. */
Test(ksm_evict, without_missing_faults_frames_that_left_read_as_zeros)
{
	struct ksm_rig rig;

	remap_test_skip_missing = true;
	start(&rig);
	cr_assert_eq(ksm_rig_evict_frames(&rig), PAGES);
	cr_expect_gt(ksm_rig_check_all(&rig.guests[0], 1), 0);
	remap_test_skip_missing = false;
	ksm_rig_stop(&rig);
}
