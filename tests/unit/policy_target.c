/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about guests: each case by itself. */
#include <criterion/criterion.h>
#include <string.h>

#include "balloon/target.h"

#define GUESTS 4

struct scene {
	struct target_host host;
	struct target_guest guests[GUESTS];
	struct target_memory memories[GUESTS];
	struct target_decision decisions[GUESTS];
	enum host_state state;
};

/* Four guests of 512 MiB, all resident and active, on a budget of 2 GiB and more. */
static void set_up(struct scene *scene)
{
	*scene = (struct scene){
		.host = {.budget = 4 * GiB,
			 .free = 2 * GiB,
			 .levels = {100 * MiB, {400, 100, 64, 32, 16}},
			 .tax_pct = 75,
			 .coldness = {120, 200},
			 .now_ms = 1000000},
	};
	for (u32 i = 0; i < GUESTS; i++)
		scene->guests[i] = (struct target_guest){
			.memory = 512 * MiB,
			.max = 512 * MiB,
			.limit = UINT64_MAX,
			.shares = 5120,
			.resident = 512 * MiB,
			.active = 512 * MiB,
			.balloon = true,
			.signs = {.age_ms = UINT64_MAX},
		};
}

static void step(struct scene *scene)
{
	scene->host.now_ms += 1000;
	scene->state = target_step(scene->state, &scene->host, scene->guests, scene->memories,
				   GUESTS, scene->decisions);
}

/* The budget shrinks: half of it is free no more, and guest 0 is idle. */
static void press(struct scene *scene, u64 free)
{
	scene->host.budget = 1600 * MiB;
	scene->host.free = free;
	scene->guests[0].active = 0;
}

Test(policy_target, who_fits_is_left_alone)
{
	struct scene scene;

	set_up(&scene);
	step(&scene);
	cr_expect_eq(scene.state, HOST_HIGH);
	for (u32 i = 0; i < GUESTS; i++) {
		cr_expect_eq(scene.decisions[i].action, TARGET_HOLD);
		cr_expect_eq(scene.decisions[i].reason, TARGET_FITS);
		cr_expect_eq(scene.decisions[i].goal, 512 * MiB);
		cr_expect_eq(scene.decisions[i].balloon, 0);
		cr_expect_eq(scene.decisions[i].swap, 0);
		cr_expect_not(scene.decisions[i].block);
	}
}

Test(policy_target, an_idle_guest_gives_in_steps_of_at_most_a_twentieth)
{
	struct scene scene;
	u64 before = 0;

	set_up(&scene);
	press(&scene, 50 * MiB);
	for (u32 i = 0; i < 100; i++) {
		step(&scene);
		cr_assert_leq(scene.decisions[0].balloon, before + 512 * MiB / 20);
		if (scene.decisions[0].action == TARGET_INFLATE)
			cr_assert_geq(scene.decisions[0].balloon, before + 512 * MiB / 400);
		before = scene.guests[0].ballooned = scene.decisions[0].balloon;
		scene.guests[0].resident = MIN(512 * MiB, 512 * MiB - before);
		scene.guests[0].stored = 512 * MiB - before - scene.guests[0].resident;
	}
	cr_expect_leq(scene.decisions[0].goal, 180 * MiB);
	cr_expect_geq(before + scene.decisions[0].goal + 512 * MiB / TARGET_REST, 512 * MiB);
	cr_expect_eq(scene.decisions[0].swap, 0);
}

Test(policy_target, nobody_is_asked_while_the_host_has_enough)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 500 * MiB);
	step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_NO_NEED);
	cr_expect_eq(scene.decisions[0].balloon, 0);
}

Test(policy_target, max_is_kept_even_when_there_is_plenty)
{
	struct scene scene;

	set_up(&scene);
	scene.guests[1].max = 256 * MiB;
	for (u32 i = 0; i < 20; i++) {
		step(&scene);
		scene.guests[1].ballooned = scene.decisions[1].balloon;
	}
	cr_expect_eq(scene.decisions[1].goal, 256 * MiB);
	cr_expect_geq(scene.guests[1].ballooned, 254 * MiB);
	cr_expect_leq(scene.guests[1].ballooned, 256 * MiB);
}

Test(policy_target, min_holds_against_everything)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 0);
	scene.guests[0].min = 400 * MiB;
	scene.host.budget = 500 * MiB;
	for (u32 i = 0; i < 100; i++) {
		step(&scene);
		cr_assert_geq(scene.decisions[0].goal, 400 * MiB);
		cr_assert_geq(scene.decisions[0].keep, 400 * MiB);
		cr_assert_leq(scene.decisions[0].balloon, 112 * MiB);
		scene.guests[0].ballooned = scene.decisions[0].balloon;
	}
}

Test(policy_target, inflation_stops_when_it_hurts_and_the_rest_is_swapped)
{
	struct scene scene;
	u64 before;

	set_up(&scene);
	press(&scene, 50 * MiB);
	scene.guests[0].signs.age_ms = 0;
	step(&scene);
	before = scene.guests[0].ballooned = scene.decisions[0].balloon;
	cr_expect_gt(before, 0);
	scene.guests[0].signs.alloc_stalls = 5;
	step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_STOP_LOSS);
	cr_expect_leq(scene.decisions[0].balloon, before);
	scene.guests[0].resident = 512 * MiB - before;
	step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_STOP_LOSS);
	cr_expect_gt(scene.decisions[0].swap, 200 * MiB);
	/* Ten seconds without pain. */
	for (u32 i = 0; i < 11; i++)
		step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_EXCESS);
	cr_expect_gt(scene.decisions[0].balloon, before);
}

/* The protection taken out: without fresh figures the same guest is inflated on and on. */
Test(policy_target, without_figures_there_is_no_stop_loss)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 50 * MiB);
	scene.guests[0].signs.age_ms = STOPLOSS_FRESH_MS + 1;
	for (u32 i = 0; i < 5; i++) {
		scene.guests[0].signs.alloc_stalls += 5;
		step(&scene);
		cr_expect_eq(scene.decisions[0].reason, TARGET_EXCESS);
		scene.guests[0].ballooned = scene.decisions[0].balloon;
	}
}

Test(policy_target, a_driver_that_does_not_follow_is_swapped)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 50 * MiB);
	step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_EXCESS);
	cr_expect_eq(scene.decisions[0].swap, 0);
	for (u32 i = 0; i < 6; i++)
		step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_STUCK);
	cr_expect_gt(scene.decisions[0].swap, 200 * MiB);
	/* It comes to its senses. */
	scene.guests[0].ballooned = scene.decisions[0].balloon;
	step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_EXCESS);
}

Test(policy_target, without_a_balloon_the_excess_is_swapped)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 50 * MiB);
	scene.guests[0].balloon = false;
	step(&scene);
	cr_expect_eq(scene.decisions[0].reason, TARGET_NO_BALLOON);
	cr_expect_eq(scene.decisions[0].swap, 512 * MiB - scene.decisions[0].goal);
	cr_expect_eq(scene.decisions[0].keep, scene.decisions[0].goal);
}

Test(policy_target, goals_count_on_nothing_that_cannot_be_stored)
{
	struct scene scene;
	u64 pinned = 500 * MiB, others = 0;

	set_up(&scene);
	press(&scene, 20 * MiB);
	scene.guests[0].balloon = false;
	step(&scene);
	cr_expect_lt(scene.decisions[0].goal, pinned);
	scene.guests[0].pinned = pinned;
	step(&scene);
	for (u32 i = 1; i < GUESTS; i++)
		others += scene.decisions[i].goal;
	cr_expect_eq(scene.decisions[0].goal, pinned);
	cr_expect_leq(others, scene.host.budget - pinned);
	scene.guests[0].balloon = true;
	step(&scene);
	cr_expect_lt(scene.decisions[0].goal, pinned, "which its balloon may take");
}

Test(policy_target, hard_swaps_without_waiting_for_the_balloon)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 20 * MiB);
	step(&scene);
	cr_expect_eq(scene.state, HOST_HARD);
	cr_expect_eq(scene.decisions[0].action, TARGET_INFLATE);
	cr_expect_gt(scene.decisions[0].swap, 0);
	cr_expect_not(scene.decisions[0].block);
}

Test(policy_target, low_blocks_who_is_above_its_goal_and_nobody_else)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 10 * MiB);
	scene.guests[1].resident = 100 * MiB;
	step(&scene);
	cr_expect_eq(scene.state, HOST_LOW);
	cr_expect(scene.decisions[0].block);
	cr_expect_not(scene.decisions[1].block);
	for (u32 i = 0; i < GUESTS; i++)
		cr_expect(!scene.decisions[i].block ||
			  scene.guests[i].resident > scene.decisions[i].goal);
	scene.host.free = 70 * MiB;
	step(&scene);
	cr_expect_not(scene.decisions[0].block);
}

Test(policy_target, deflation_is_at_once_and_within_what_the_host_has)
{
	struct scene scene;
	u64 given = 0;

	set_up(&scene);
	for (u32 i = 0; i < GUESTS; i++) {
		scene.guests[i].ballooned = 256 * MiB;
		scene.guests[i].resident = 256 * MiB;
	}
	step(&scene);
	cr_expect_eq(scene.decisions[0].balloon, 0);
	cr_expect_eq(scene.decisions[0].reason, TARGET_WANTED);
	scene.host.free = 132 * MiB;
	step(&scene);
	for (u32 i = 0; i < GUESTS; i++)
		given += scene.guests[i].ballooned - scene.decisions[i].balloon;
	cr_expect_eq(given, 100 * MiB);
	cr_expect_eq(scene.decisions[3].reason, TARGET_NONE_FREE);
}

Test(policy_target, what_is_above_the_limit_goes_in_any_state)
{
	struct scene scene;

	set_up(&scene);
	scene.guests[2].limit = 300 * MiB;
	step(&scene);
	cr_expect_eq(scene.state, HOST_HIGH);
	cr_expect_eq(scene.decisions[2].goal, 300 * MiB);
	cr_expect_geq(scene.decisions[2].swap, 212 * MiB);
}

Test(policy_target, cold_memory_may_go_first_but_never_what_min_covers)
{
	struct scene scene;

	set_up(&scene);
	scene.guests[0].cold = 300 * MiB;
	scene.guests[1].cold = 512 * MiB;
	scene.guests[1].min = 200 * MiB;
	step(&scene);
	cr_expect_eq(scene.decisions[0].keep, 212 * MiB);
	cr_expect_eq(scene.decisions[1].keep, 200 * MiB);
	cr_expect_eq(scene.decisions[2].keep, 512 * MiB);
}

Test(policy_target, lies_do_not_upset_it)
{
	struct scene scene;

	set_up(&scene);
	press(&scene, 20 * MiB);
	scene.guests[0].ballooned = UINT64_MAX;
	scene.guests[0].signs = (struct guest_signs){.refaults = UINT64_MAX, .age_ms = 0};
	scene.guests[1].ballooned = GiB;
	scene.guests[1].active = UINT64_MAX;
	for (u32 i = 0; i < 10; i++) {
		step(&scene);
		scene.guests[0].signs.refaults *= 3;
		for (u32 g = 0; g < GUESTS; g++) {
			cr_expect_leq(scene.decisions[g].balloon, 512 * MiB);
			cr_expect_leq(scene.decisions[g].goal, 512 * MiB);
		}
	}
}

/* Four guests fill all their memory, on a budget of half of it, by so much in a step of 100 ms. Returns the
 * worst state of the host on the way. */
static enum host_state fill_quickly(struct scene *scene, u64 per_step)
{
	enum host_state worst = HOST_HIGH;

	set_up(scene);
	scene->host.budget = scene->host.free = GiB;
	for (u32 i = 0; i < GUESTS; i++)
		scene->guests[i].resident = scene->guests[i].active = 0;
	for (u32 n = 0; n < 512 * MiB / per_step; n++) {
		scene->host.now_ms += 100;
		scene->state = target_step(scene->state, &scene->host, scene->guests,
					   scene->memories, GUESTS, scene->decisions);
		worst = MAX(worst, scene->state);
		scene->host.free = GiB;
		for (u32 i = 0; i < GUESTS; i++) {
			struct target_guest *guest = &scene->guests[i];
			u64 may = guest->memory - scene->decisions[i].balloon;

			cr_assert_leq(scene->decisions[i].balloon,
				      guest->ballooned + 512 * MiB / TARGET_STEP_MOST);
			cr_assert_leq(scene->decisions[i].goal, may);
			guest->ballooned = scene->decisions[i].balloon;
			guest->resident = guest->active = MIN(guest->resident + per_step, may);
			scene->host.free -= MIN(scene->host.free, guest->resident);
		}
	}
	return worst;
}

Test(policy_target, balloons_close_before_a_quick_fill_has_filled_the_host)
{
	struct scene scene;

	for (u64 per_step = 2 * MiB; per_step <= 16 * MiB; per_step += 2 * MiB)
		cr_expect_leq(fill_quickly(&scene, per_step), HOST_SOFT, "%lu MiB a step",
			      per_step / MiB);
}

Test(policy_target, a_slow_fill_is_left_alone_while_the_host_has_plenty)
{
	struct scene scene;

	set_up(&scene);
	for (u32 i = 0; i < GUESTS; i++)
		scene.guests[i].resident = 100 * MiB;
	scene.host.budget = GiB;
	scene.host.free = 600 * MiB;
	for (u32 n = 0; n < 20; n++) {
		step(&scene);
		scene.host.free -= GUESTS * MiB;
		for (u32 i = 0; i < GUESTS; i++) {
			scene.guests[i].resident += MiB;
			cr_expect_eq(scene.decisions[i].balloon, 0);
			cr_expect_eq(scene.decisions[i].reason, TARGET_FITS);
		}
	}
}

Test(policy_target, every_reason_has_words)
{
	for (u32 i = 0; i < TARGET_REASONS; i++)
		cr_expect(strcmp(target_reason_text(i), "unknown"), "%u", i);
	cr_expect_str_eq(target_reason_text(TARGET_REASONS), "unknown");
	cr_expect_str_eq(target_action_name(TARGET_DEFLATE), "deflate");
}
