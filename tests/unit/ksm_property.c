/* SPDX-License-Identifier: Apache-2.0 */
/* Random steps of everything that touches shared pages; references, counters and content hold after each few. */
#include <criterion/criterion.h>

#include "mem/drop.h"
#include "mem/evict.h"
#include "mem/remap.h"
#include "tests/unit/ksm_rig.h"

#define BYTES	 (4 * MiB)
#define PAGES	 (BYTES / PAGE_SIZE)
#define CONTENTS 3
#define ZERO	 255

static u8 contents[KSM_RIG_GUESTS][PAGES];

static bool is_zero(const struct mem_guest *guest, u64 index)
{
	const volatile u64 *page = (const volatile u64 *)(guest->ram + index * PAGE_SIZE);

	return !page[0] && !page[77] && !page[PAGE_SIZE / 8 - 1];
}

static bool holds(struct ksm_rig *rig, u32 guest, u64 index)
{
	return contents[guest][index] == ZERO
		       ? is_zero(&rig->guests[guest], index)
		       : ksm_rig_check(&rig->guests[guest], index, contents[guest][index]);
}

static void write_some(struct ksm_rig *rig, u32 guest, u64 index, u64 *state)
{
	u64 count = 1 + mem_random(state) % 64;

	for (u64 i = index; i < MIN(index + count, PAGES); i++) {
		u8 content = (u8)(mem_random(state) % CONTENTS);

		ksm_rig_write(&rig->guests[guest], i, content);
		contents[guest][i] = content;
	}
}

static void give_up_some(struct ksm_rig *rig, u32 guest, u64 index, u64 *state)
{
	u64 wanted = 1 + mem_random(state) % 100, count = MIN(wanted, PAGES - index);
	enum page_state to = mem_random(state) % 2 ? PAGE_BALLOONED : PAGE_ZERO;

	drop_pages(rig->guests[guest].space, index, count, to);
	if (to == PAGE_BALLOONED)
		drop_return(rig->guests[guest].space, index, count);
	for (u64 i = index; i < index + count; i++)
		contents[guest][i] = ZERO;
}

/* Every other page is alike in all guests, all of which is there: sheets. */
static void fill_scattered(struct ksm_rig *rig, u32 guest)
{
	for (u64 i = 0; i < PAGES; i++) {
		contents[guest][i] = i % 2 ? 0 : (u8)guest;
		ksm_rig_write(&rig->guests[guest], i, contents[guest][i]);
	}
}

static void step(struct ksm_rig *rig, u64 *state)
{
	u32 guest = mem_random(state) % KSM_RIG_GUESTS;
	u64 index = mem_random(state) % PAGES;
	struct space *space = rig->guests[guest].space;

	switch (mem_random(state) % 12) {
	case 0:
	case 1:
	case 2:
		write_some(rig, guest, index, state);
		break;
	case 3:
		for (u64 i = index; i < MIN(index + 100, PAGES); i++)
			cr_assert(holds(rig, guest, i), "guest %u page %lu", guest, i);
		break;
	case 4:
	case 5:
	case 6:
		ksm_scan(rig->ksm, 4096);
		break;
	case 7:
		/* Sheets too, now and then. */
		rig->memory.reclaiming = mem_random(state) % 2;
		ksm_bring_home(rig->ksm);
		rig->memory.reclaiming = false;
		break;
	case 8:
		evict_pages(space, ALIGN_DOWN(index, REGION_PAGES), REGION_PAGES,
			    (u32)mem_random(state));
		break;
	case 9:
		ksm_rig_evict_frames(rig);
		break;
	case 10:
		give_up_some(rig, guest, index, state);
		break;
	default:
		remap_home(space, index, mem_random(state) % 2);
		break;
	}
}

static void run(u64 seed, u32 steps, const struct ksm_rig_options *options)
{
	struct ksm_rig rig;
	u64 state = seed;

	memset(contents, 0, sizeof(contents));
	ksm_rig_start(&rig, options);
	for (u32 i = 0; i < steps; i++) {
		if (i % 100 == 0)
			for (u32 j = 0; j < KSM_RIG_GUESTS; j++)
				fill_scattered(&rig, j);
		step(&rig, &state);
		if (i % 50 == 49)
			ksm_rig_audit(&rig);
	}
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		for (u64 j = 0; j < PAGES; j++)
			cr_assert(holds(&rig, i, j), "guest %u page %lu", i, j);
		cr_expect(!rig.guests[i].failed, "%s", rig.guests[i].why);
	}
	cr_expect_gt(ksm_rig_stats(&rig).frames_left, 0);
	cr_expect_gt(ksm_rig_stats(&rig).sheets, options->max_page_sharing ? 0 : 5);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_property, references_equal_a_walk_whatever_happens)
{
	const struct ksm_rig_options options = {.bytes = BYTES, .swap = true};

	run(7, 1500, &options);
}

Test(ksm_property, references_equal_a_walk_when_few_are_allowed_and_hashes_collide)
{
	const struct ksm_rig_options options = {
		.bytes = BYTES, .swap = true, .max_page_sharing = 2};

	ksm_test_hash_bits = 4;
	run(11, 300, &options);
	ksm_test_hash_bits = 64;
}
