/* SPDX-License-Identifier: Apache-2.0 */
/* Guests give up pages that are shared, and pages they wrote since: to a balloon, or as free. */
#include <criterion/criterion.h>

#include "mem/drop.h"
#include "tests/unit/ksm_rig.h"

#define BYTES (4 * MiB)
#define PAGES (BYTES / PAGE_SIZE)

static const struct ksm_rig_options plain = {.bytes = BYTES};

/* Guests 0 and 1 have all in common, and 0 has written to some of it. */
static void start_alike(struct ksm_rig *rig)
{
	ksm_rig_start(rig, &plain);
	ksm_rig_fill(&rig->guests[0], 1);
	ksm_rig_fill(&rig->guests[1], 1);
	ksm_rig_scan(rig);
	for (u64 i = 0; i < 64; i++)
		ksm_rig_write(&rig->guests[0], 5 * i, 7);
}

static u64 count(const struct mem_guest *guest, enum page_state state)
{
	return page_table_count(&guest->space->table, state);
}

static bool is_zero(const struct mem_guest *guest, u64 index)
{
	const volatile u64 *page = (const volatile u64 *)(guest->ram + index * PAGE_SIZE);

	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		if (page[i])
			return false;
	return true;
}

Test(ksm_drop, a_balloon_takes_shared_and_written_pages)
{
	struct ksm_rig rig;

	start_alike(&rig);
	cr_expect_eq(drop_pages(rig.guests[0].space, 100, 700, PAGE_BALLOONED), 700);
	cr_expect_eq(count(&rig.guests[0], PAGE_BALLOONED), 700);
	ksm_rig_audit(&rig);
	for (u64 i = 0; i < 100; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, i % 5 ? 1 : 7));
	for (u64 i = 800; i < PAGES; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, 1));
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	cr_expect_eq(drop_return(rig.guests[0].space, 100, 700), 700);
	for (u64 i = 100; i < 800; i++)
		cr_expect(is_zero(&rig.guests[0], i), "page %lu", i);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_drop, a_free_page_is_zero_and_can_be_written_again)
{
	struct ksm_rig rig;

	start_alike(&rig);
	cr_expect_eq(drop_pages(rig.guests[0].space, 0, PAGES, PAGE_ZERO), PAGES);
	cr_expect_eq(ksm_rig_stats(&rig).vmas,
		     count(&rig.guests[1], PAGE_SHARED)
			     ? (u64)atomic_load(&rig.guests[1].space->counters.vmas)
			     : 0);
	cr_expect_eq(count(&rig.guests[0], PAGE_ZERO), PAGES);
	cr_expect_eq(mem_guest_file_pages(&rig.guests[0]), 0);
	ksm_rig_audit(&rig);
	ksm_rig_fill(&rig.guests[0], 3);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[0], 3), 0);
	cr_expect_eq(ksm_rig_check_all(&rig.guests[1], 1), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* What the VMM has mapped there is a frame of others, and what is written to it goes unseen by the hint. */
Test(ksm_drop, hints_pass_over_what_is_shared)
{
	struct ksm_rig rig;

	start_alike(&rig);
	for (u32 round = 1; round < 4; round++)
		cr_expect_eq(drop_hinted(rig.guests[0].space, 0, PAGES, round), 0);
	for (u64 i = 0; i < PAGES; i++)
		cr_expect(ksm_rig_check(&rig.guests[0], i, i < 320 && i % 5 == 0 ? 7 : 1));
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}
