// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that fails its guest, in each way a memory manager could get it wrong: the workload must
 * notice. Damage is done by the vCPU's own thread as it enters a phase, so each test is exact.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "guest_rig.h"

#define RAM	  (8 * MiB)
#define TEXT_SIZE (256 * KiB)

/* One vCPU's share begins with the text; the versions of some 1200 pages fill two pages then. */
#define VERSIONS (GUEST_LOW_BYTES + TEXT_SIZE)
#define PAGES	 (VERSIONS + 2 * PAGE_SIZE)
#define KV_INDEX VERSIONS

static const char *const page_args = "ops=3000 write=50 zero=0 same=0 random=0";

static void expect_caught(const char *workload, const char *args, rig_hook hook, u64 failures,
			  const char *text)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, 1, workload, args, NULL, 0);
	rig.hook = hook;
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_VERIFY);
	if (failures)
		cr_expect_eq(rig_stats(&rig, 0)->verify_failures, failures);
	cr_expect(strstr(rig.text, text), "'%s' lacks '%s'", rig.text, text);
	rig_end(&rig);
}

static void flip_a_bit(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_VERIFY)
		rig->host.ram[PAGES + 5 * PAGE_SIZE + 2222] ^= 4;
}

Test(guest_damage, a_flipped_bit_is_caught)
{
	expect_caught("fill", page_args, flip_a_bit, 1, "damaged (unit 5, version ");
}

Test(guest_damage, the_address_is_reported)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, 1, "fill", page_args, NULL, 0);
	rig.hook = flip_a_bit;
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_VERIFY);
	cr_expect_eq(rig_stats(&rig, 0)->bad_address, PAGES + 5 * PAGE_SIZE);
	cr_expect(strstr(rig.text, "verify failure at 0x247000: "), "%s", rig.text);
	rig_end(&rig);
}

static void lose_a_page(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_VERIFY)
		memset(rig->host.ram + PAGES, 0, PAGE_SIZE);
}

Test(guest_damage, a_page_lost_to_zeroes_is_caught)
{
	expect_caught("sweep", page_args, lose_a_page, 1, "lost: reads as zeroes");
}

static void swap_two_pages(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	u8 page[PAGE_SIZE];

	(void)vcpu;
	if (phase != GUEST_PHASE_VERIFY)
		return;
	memcpy(page, rig->host.ram + PAGES, PAGE_SIZE);
	memcpy(rig->host.ram + PAGES, rig->host.ram + PAGES + PAGE_SIZE, PAGE_SIZE);
	memcpy(rig->host.ram + PAGES + PAGE_SIZE, page, PAGE_SIZE);
}

Test(guest_damage, two_pages_in_each_others_place_are_caught)
{
	expect_caught("phase", page_args, swap_two_pages, 2, "damaged");
}

/* A write lost: the page is as it was after the fill. */
static void roll_back(struct guest_rig *rig, u64 from)
{
	u64 page = rig_changed_page(rig, from);

	cr_assert_neq(page, 0);
	memcpy(rig->host.ram + page, rig->before + page, PAGE_SIZE);
}

static void stale_page(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_RUN)
		rig_snapshot(rig);
	if (phase == GUEST_PHASE_VERIFY)
		roll_back(rig, PAGES);
}

Test(guest_damage, a_stale_page_is_caught)
{
	expect_caught("fill", page_args, stale_page, 1, "verify failure");
}

Test(guest_damage, a_page_one_write_behind_is_named_stale)
{
	expect_caught("sweep", "ops=20 write=100 zero=0 same=0 random=0", stale_page, 1,
		      "stale: holds the version before (unit 0, version 2)");
}

static void stale_versions(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_RUN)
		rig_snapshot(rig);
	if (phase == GUEST_PHASE_VERIFY)
		roll_back(rig, VERSIONS);
}

Test(guest_damage, a_stale_page_of_versions_is_caught)
{
	expect_caught("fill", page_args, stale_versions, 0, "its version is stale");
}

static void stale_everything(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_RUN)
		rig_snapshot(rig);
	if (phase == GUEST_PHASE_VERIFY)
		memcpy(rig->host.ram + GUEST_LOW_BYTES, rig->before + GUEST_LOW_BYTES,
		       RAM - GUEST_LOW_BYTES);
}

Test(guest_damage, a_page_and_its_version_gone_back_together_are_caught)
{
	expect_caught("fill", page_args, stale_everything, 1,
		      "versions do not add up to the writes made");
}

Test(guest_damage, a_whole_stale_table_is_caught)
{
	expect_caught("kv", "ops=3000 mix=A", stale_everything, 1,
		      "index: versions do not add up to the writes made");
}

static void stale_index(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_RUN)
		rig_snapshot(rig);
	if (phase == GUEST_PHASE_VERIFY)
		roll_back(rig, KV_INDEX);
}

Test(guest_damage, a_stale_page_of_the_index_is_caught)
{
	expect_caught("kv", "ops=3000 mix=A", stale_index, 0, "record: not the index' version");
}

static void lose_the_index(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_VERIFY)
		memset(rig->host.ram + KV_INDEX, 0, PAGE_SIZE);
}

Test(guest_damage, a_lost_page_of_the_index_is_caught)
{
	expect_caught("kv", "ops=1000", lose_the_index, 0, "index: the key is lost");
}

static void spoil_the_index(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_VERIFY)
		memset(rig->host.ram + KV_INDEX, 0xff, RAM / 2);
}

Test(guest_damage, an_index_full_of_rubbish_ends_all_the_same)
{
	expect_caught("kv", "ops=1000 fill=20", spoil_the_index, 0, "index: the key is lost");
}

static void spoil_all_pages(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_RUN)
		memset(rig->host.ram + PAGES, 0xff, RAM / 2);
}

Test(guest_damage, the_console_is_not_flooded)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, 1, "fill", "ops=1000 write=0", NULL, 0);
	rig.hook = spoil_all_pages;
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_VERIFY);
	cr_expect_gt(rig_stats(&rig, 0)->verify_failures, 1000);
	cr_expect(strstr(rig.text, "further ones are only counted"), "%s", rig.text);
	cr_expect_lt(rig.length, 1500);
	rig_end(&rig);
}

/* A fault found while running is counted each time it is seen, and the run goes on. */
Test(guest_damage, a_run_goes_on_after_a_failure)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, 1, "sweep", "ops=5000 write=0", NULL, 0);
	rig.hook = spoil_all_pages;
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_VERIFY);
	cr_expect_eq(rig_stats(&rig, 0)->ops, 5000);
	rig_end(&rig);
}
