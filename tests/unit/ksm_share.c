/* SPDX-License-Identifier: Apache-2.0 */
/* Sharing, a step at a time: what becomes one, what must not, and what a write does. */
#include <criterion/criterion.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "tests/unit/ksm_rig.h"

#define BYTES (4 * MiB)
#define PAGES (BYTES / PAGE_SIZE)

/* Guests 0 and 1 have all in common, 2 has nothing. */
static void start_alike(struct ksm_rig *rig, const struct ksm_rig_options *options)
{
	ksm_rig_start(rig, options);
	ksm_rig_fill(&rig->guests[0], 1);
	ksm_rig_fill(&rig->guests[1], 1);
	ksm_rig_fill(&rig->guests[2], 2);
	ksm_rig_scan(rig);
}

static const struct ksm_rig_options plain = {.bytes = BYTES};

Test(ksm_share, equal_pages_of_two_guests_become_one)
{
	struct ksm_rig rig;
	struct ksm_stats stats;

	start_alike(&rig, &plain);
	stats = ksm_rig_stats(&rig);
	cr_expect_eq(stats.pages_shared, PAGES);
	cr_expect_eq(stats.pages_sharing, PAGES);
	cr_expect_eq(ksm_node_bytes(rig.ksm, 0), BYTES);
	cr_expect_eq(ksm_node_bytes(rig.ksm, 1), 0);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[0]), 0);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[2]), PAGES);
	cr_expect_lt(stats.vmas, 16, "%lu mappings for runs", stats.vmas);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 1), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[2], 2), 0);
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, a_write_reaches_nobody_else_and_is_counted)
{
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	ksm_rig_write(&rig.guests[0], 77, 9);
	cr_expect(ksm_rig_check(&rig.guests[0], 77, 9));
	cr_expect(ksm_rig_check(&rig.guests[1], 77, 1));
	cr_expect_eq(ksm_rig_stats(&rig).cow_breaks, 1);
	ksm_rig_audit(&rig);
	cr_expect_eq(ksm_bring_home(rig.ksm), 1);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[0]), 1);
	cr_expect(ksm_rig_check(&rig.guests[0], 77, 9));
	cr_expect(ksm_rig_check(&rig.guests[0], 76, 1));
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, unmerging_gives_every_page_its_own_memory)
{
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	ksm_rig_write(&rig.guests[1], 5, 3);
	cr_expect_eq(ksm_unmerge(rig.ksm), 2 * PAGES);
	cr_expect_eq(ksm_rig_stats(&rig).pages_shared, 0);
	cr_expect_eq(ksm_rig_stats(&rig).vmas, 0);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[0]), PAGES);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 1), 0);
	cr_expect(ksm_rig_check(&rig.guests[1], 5, 3));
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, a_guest_that_leaves_its_domain_shares_no_more)
{
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	ksm_rig_write(&rig.guests[1], 5, 3);
	cr_expect_eq(ksm_unmerge(rig.ksm), 2 * PAGES);
	atomic_store(&rig.guests[1].space->salt, SALT_ALONE);
	ksm_forget(rig.ksm, rig.guests[1].space);
	cr_expect_eq(ksm_rig_stats(&rig).pages_sharing, 0);
	ksm_rig_scan(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).pages_sharing, 0);
	cr_expect_eq(page_table_count(&rig.guests[1].space->table, PAGE_SHARED), 0);
	cr_expect(ksm_rig_check(&rig.guests[1], 5, 3));
	cr_expect(ksm_rig_check(&rig.guests[1], 6, 1));
	/* And back. */
	atomic_store(&rig.guests[1].space->salt, rig.guests[1].space->options.salt);
	ksm_rig_scan(&rig);
	cr_expect_geq(ksm_rig_stats(&rig).pages_sharing, PAGES - GROUP_PAGES);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

static void evict_all(struct mem_guest *guest)
{
	mem_guest_settle(guest);
	for (u64 i = 0; i < PAGES; i += REGION_PAGES)
		evict_pages(guest->space, i, REGION_PAGES, UINT32_MAX);
}

/* Guest 2 has what the others share, in memory of its own. */
static void start_late(struct ksm_rig *rig)
{
	struct ksm_rig_options options = {.bytes = BYTES, .swap = true};

	start_alike(rig, &options);
	ksm_rig_fill(&rig->guests[2], 1);
}

Test(ksm_share, what_a_frame_has_is_evicted_by_a_reference_to_it)
{
	struct ksm_rig rig;

	start_late(&rig);
	evict_all(&rig.guests[2]);
	cr_expect_eq(page_table_count(&rig.guests[2].space->table, PAGE_SHARED), PAGES);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[2]), 0);
	cr_expect_eq(ksm_rig_stats(&rig).pages_shared, PAGES);
	ksm_rig_audit(&rig);
	/* It comes back as a copy, and what is written to that is nobody else's. */
	cr_expect_eq(ksm_rig_check_all(&rig.guests[2], 1), 0);
	ksm_rig_write(&rig.guests[2], 77, 9);
	evict_all(&rig.guests[2]);
	ksm_rig_write(&rig.guests[2], 78, 9);
	cr_expect(ksm_rig_check(&rig.guests[2], 77, 9));
	cr_expect(ksm_rig_check(&rig.guests[2], 78, 9));
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 1), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	mem_guest_settle(&rig.guests[2]);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, unmerging_takes_references_back_as_well)
{
	struct ksm_rig rig;

	start_late(&rig);
	evict_all(&rig.guests[2]);
	cr_expect_eq(page_table_count(&rig.guests[2].space->table, PAGE_SHARED), PAGES);
	cr_expect_eq(ksm_unmerge(rig.ksm), 3 * PAGES);
	cr_expect_eq(ksm_rig_stats(&rig).pages_shared, 0);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_eq(ksm_rig_check_all(&rig.guests[i], 1), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* Its VMM has the frames of the domain it began in, and what is shared may be mapped once it is back there. */
Test(ksm_share, a_guest_that_has_left_its_domain_refers_to_no_frame)
{
	struct ksm_rig rig;

	start_late(&rig);
	mem_guest_settle(&rig.guests[2]);
	atomic_store(&rig.guests[2].space->salt, SALT_ALONE);
	evict_all(&rig.guests[2]);
	cr_expect_eq(page_table_count(&rig.guests[2].space->table, PAGE_SHARED), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[2], 1), 0);
	mem_guest_settle(&rig.guests[2]);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, domains_do_not_share)
{
	struct ksm_rig_options options = {.bytes = BYTES, .alone = true};
	struct ksm_rig rig;

	start_alike(&rig, &options);
	cr_expect_eq(ksm_rig_stats(&rig).pages_shared, 0);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[0]), PAGES);
	ksm_rig_stop(&rig);
}

Test(ksm_share, pages_of_equal_hash_are_compared)
{
	struct ksm_rig rig;

	ksm_test_hash_bits = 4;
	start_alike(&rig, &plain);
	cr_expect_gt(ksm_rig_stats(&rig).hash_collisions, 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 1), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[2], 2), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
	ksm_test_hash_bits = 64;
}

Test(ksm_share, a_frame_has_no_more_references_than_it_may)
{
	struct ksm_rig_options options = {.bytes = BYTES, .max_page_sharing = 2};
	struct ksm_rig rig;
	struct ksm_stats stats;

	ksm_rig_start(&rig, &options);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		ksm_rig_fill(&rig.guests[i], 1);
	ksm_rig_scan(&rig);
	stats = ksm_rig_stats(&rig);
	cr_expect_leq(stats.pages_sharing, stats.pages_shared);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_eq(ksm_rig_check_all(&rig.guests[i], 1), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, mappings_stay_within_their_budget)
{
	struct ksm_rig_options options = {.bytes = BYTES, .vma_budget = 100};
	struct ksm_rig rig;

	ksm_rig_start(&rig, &options);
	for (u64 i = 0; i < PAGES; i++)
		for (u32 j = 0; j < KSM_RIG_GUESTS; j++)
			ksm_rig_write(&rig.guests[j], i, i % 2 ? 1 : 10 + j);
	ksm_rig_scan(&rig);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_leq(atomic_load(&rig.guests[i].space->counters.vmas), 100);
	cr_expect_gt(ksm_rig_stats(&rig).pages_sharing, 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, the_end_of_a_guest_leaves_frames_to_the_others)
{
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	ksm_rig_write(&rig.guests[0], 3, 4);
	mem_guest_end(&rig.guests[0]);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(ksm_rig_stats(&rig).pages_shared, PAGES);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, zero_pages_are_dropped)
{
	struct ksm_rig rig;

	ksm_rig_start(&rig, &plain);
	for (u64 i = 0; i < PAGES; i++)
		*(volatile u64 *)(rig.guests[0].ram + i * PAGE_SIZE) = 0;
	ksm_rig_scan(&rig);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[0]), 0);
	cr_expect_eq(ksm_rig_stats(&rig).zero_pages, PAGES);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_share, memory_that_nobody_wrote_is_not_read_again)
{
	struct ksm_rig rig;
	u64 scanned;

	ksm_rig_start(&rig, &plain);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		ksm_rig_fill(&rig.guests[i], i);
	ksm_rig_scan(&rig);
	scanned = ksm_rig_stats(&rig).pages_scanned;
	ksm_rig_scan(&rig);
	cr_expect_eq(ksm_rig_stats(&rig).pages_scanned, scanned);
	/* A write is seen, and costs its region one look. */
	ksm_rig_write(&rig.guests[1], 600, 50);
	ksm_rig_scan(&rig);
	cr_expect_gt(ksm_rig_stats(&rig).pages_scanned, scanned);
	cr_expect_leq(ksm_rig_stats(&rig).pages_scanned, scanned + 3 * REGION_PAGES);
	ksm_rig_stop(&rig);
}

/* Whatever groups lie between those that are to be read, and however many of these follow each other. */
Test(ksm_share, what_is_written_alike_among_what_nobody_wrote_is_found)
{
	static const struct ksm_rig_options small = {.bytes = BYTES, .small = true};
	struct ksm_rig rig;
	u64 alike = 0;

	ksm_rig_start(&rig, &small);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		ksm_rig_fill(&rig.guests[i], i);
	ksm_rig_scan(&rig);
	for (u64 group = 0; group < PAGES / GROUP_PAGES; group++) {
		if (group % 2 == 0 && group % 7 != 4)
			continue;
		for (u64 i = 0; i < GROUP_PAGES; i++, alike++) {
			ksm_rig_write(&rig.guests[0], group * GROUP_PAGES + i, 50);
			ksm_rig_write(&rig.guests[1], group * GROUP_PAGES + i, 50);
		}
	}
	ksm_rig_scan(&rig);
	/* The index of pages seen forgets some. */
	cr_expect_gt(ksm_rig_stats(&rig).pages_sharing * 10, alike * 9);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* By steps, so that whoever brings them does something else between. */
Test(ksm_share, written_pages_come_home_a_few_at_a_time)
{
	u64 home = 0, steps = 0;
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	home_consider(rig.ksm);
	cr_expect_not(rig.ksm->home.under_way, "nothing was written");
	for (u64 i = 0; i < PAGES; i += 3) {
		ksm_rig_write(&rig.guests[0], i, 8);
		ksm_rig_write(&rig.guests[1], i, 9);
	}
	home_consider(rig.ksm);
	cr_expect(rig.ksm->home.under_way);
	while (rig.ksm->home.under_way) {
		u64 before = home;

		home_go_on(rig.ksm, 10);
		home = ksm_rig_stats(&rig).brought_home;
		cr_expect_leq(home - before, 10 + SPACE_REMAP_MAX);
		steps++;
	}
	cr_expect_eq(home, 2 * ((PAGES + 2) / 3));
	cr_expect_gt(steps, 2);
	cr_expect_eq(ksm_bring_home(rig.ksm), 0);
	for (u64 i = 0; i < PAGES; i++) {
		cr_expect(ksm_rig_check(&rig.guests[0], i, i % 3 ? 1 : 8));
		cr_expect(ksm_rig_check(&rig.guests[1], i, i % 3 ? 1 : 9));
	}
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

static void ask_home(struct ksm_rig *rig)
{
	rig->memory.sharing->ops->bring_home(rig->memory.sharing);
}

/* A scan that found nothing may rest for seconds. */
Test(ksm_share, written_pages_come_home_while_the_scan_rests, .timeout = 60)
{
	struct ksm_rig rig;
	u64 scanned;

	start_alike(&rig, &plain);
	scanned = ksm_rig_stats(&rig).pages_scanned;
	rig.ksm->due_ns = clock_now_ns() + 3600 * NSEC_PER_SEC;
	cr_assert_eq(ksm_start(rig.ksm), 0);
	usleep(600000); /* till it pauses, for the first round at the latest */
	for (u64 i = 0; i < PAGES; i += 3)
		ksm_rig_write(&rig.guests[0], i, 8);
	while (atomic_load(&rig.memory.private_pages))
		usleep(1000);
	cr_expect_eq(ksm_rig_stats(&rig).pages_scanned, scanned);
	ksm_rig_stop(&rig);
}

/* What was set before would be slept out first, be it an hour. */
Test(ksm_share, settings_count_at_once, .timeout = 60)
{
	struct ksm_options options;
	struct ksm_rig rig;
	u64 scanned;

	start_alike(&rig, &plain);
	rig.ksm->due_ns = clock_now_ns() + 3600 * NSEC_PER_SEC;
	cr_assert_eq(ksm_start(rig.ksm), 0);
	usleep(100000);
	scanned = ksm_rig_stats(&rig).full_scans;
	ksm_get_options(rig.ksm, &options);
	ksm_set_options(rig.ksm, &options);
	while (ksm_rig_stats(&rig).full_scans == scanned)
		usleep(1000);
	ksm_rig_stop(&rig);
}

/* Whoever asks during a round waits for it, and what was written behind it comes with the next. */
Test(ksm_share, a_round_is_urgent_from_when_somebody_asks)
{
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	for (u64 i = 0; i < PAGES; i += 3)
		ksm_rig_write(&rig.guests[0], i, 8);
	home_consider(rig.ksm);
	cr_assert(rig.ksm->home.under_way);
	cr_expect_not(rig.ksm->home.asked);
	home_go_on(rig.ksm, 10);
	home_go_on(rig.ksm, 10);
	ksm_rig_write(&rig.guests[0], 1, 8); /* in the first region, and the round is in the second */
	ask_home(&rig);
	home_consider(rig.ksm);
	cr_expect(rig.ksm->home.asked);
	while (rig.ksm->home.under_way)
		home_go_on(rig.ksm, 10);
	cr_expect_not(rig.ksm->home.asked);
	cr_expect_eq(atomic_load(&rig.memory.private_pages), 1);
	home_consider(rig.ksm);
	cr_assert(rig.ksm->home.under_way);
	cr_expect(rig.ksm->home.asked);
	home_go_on(rig.ksm, 10);
	cr_expect_eq(atomic_load(&rig.memory.private_pages), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* It would not be heard: who asks when somebody has asked already wakes nobody. */
Test(ksm_share, asking_for_nothing_is_forgotten)
{
	struct ksm_rig rig;

	start_alike(&rig, &plain);
	ask_home(&rig);
	home_consider(rig.ksm);
	cr_expect_not(rig.ksm->home.under_way);
	cr_expect_not(atomic_load(&rig.ksm->home_wanted));
	ksm_rig_stop(&rig);
}
