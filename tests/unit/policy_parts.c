/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the policy, each by itself: host states, estimates, stop-loss, coldness. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "balloon/coldness.h"
#include "balloon/estimate.h"
#include "balloon/host_state.h"
#include "balloon/misses.h"
#include "balloon/stoploss.h"
#include "tests/unit/mem_rig.h"

static const struct host_levels levels = {100 * MiB, {400, 100, 64, 32, 16}};

Test(policy_host_state, each_level_enters_its_state)
{
	static const struct {
		u64 free;
		enum host_state state;
	} steps[] = {
		{500 * MiB, HOST_HIGH}, {100 * MiB, HOST_HIGH}, {99 * MiB, HOST_CLEAR},
		{63 * MiB, HOST_SOFT},	{31 * MiB, HOST_HARD},	{15 * MiB, HOST_LOW},
	};
	enum host_state state = HOST_HIGH;

	for (u32 i = 0; i < ARRAY_SIZE(steps); i++) {
		state = host_state_next(state, steps[i].free, &levels);
		cr_expect_eq(state, steps[i].state, "%lu MiB: %s", steps[i].free / MiB,
			     host_state_name(state));
	}
}

Test(policy_host_state, a_state_is_left_only_at_the_next_better_level)
{
	cr_expect_eq(host_state_next(HOST_LOW, 31 * MiB, &levels), HOST_LOW);
	cr_expect_eq(host_state_next(HOST_LOW, 32 * MiB, &levels), HOST_HARD);
	cr_expect_eq(host_state_next(HOST_HARD, 63 * MiB, &levels), HOST_HARD);
	cr_expect_eq(host_state_next(HOST_HARD, 64 * MiB, &levels), HOST_SOFT);
	cr_expect_eq(host_state_next(HOST_SOFT, 100 * MiB, &levels), HOST_CLEAR);
	cr_expect_eq(host_state_next(HOST_CLEAR, 399 * MiB, &levels), HOST_CLEAR);
	cr_expect_eq(host_state_next(HOST_LOW, 400 * MiB, &levels), HOST_HIGH);
	cr_expect_eq(host_state_next(HOST_HIGH, 0, &levels), HOST_LOW);
}

/* Noise of a band's width around any level: one change of state, or none. */
Test(policy_host_state, noise_never_makes_it_flap)
{
	u64 random = 1;

	for (u64 centre = 0; centre < 450; centre++) {
		enum host_state state = HOST_HIGH;
		u32 changes = 0;

		for (u32 i = 0; i < 2000; i++) {
			u64 noise = mem_random(&random) % 14;
			enum host_state next =
				host_state_next(state, centre * MiB + noise * MiB, &levels);

			changes += i && next != state;
			state = next;
		}
		cr_expect_leq(changes, 3, "%lu MiB: %u changes", centre, changes);
	}
}

Test(policy_host_state, levels_are_read_whole_or_not_at_all)
{
	static const char *const wrong[] = {"",
					    "400 100 64 32",
					    "400 100 64 32 16 8",
					    "400 100 64 64 16",
					    "100 400 64 32 16",
					    "400 100 64 32 0",
					    "400 100 64 32 x",
					    "-1 100 64 32 16",
					    "99999 100 64 32 16"};
	u32 pct[HOST_STATES] = {0};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(host_state_parse(wrong[i], pct), -EINVAL, "%s", wrong[i]);
	cr_expect_eq(pct[0], 0);
	cr_expect_eq(host_state_parse(" 500 200 100\t50 25\n", pct), 0);
	cr_expect_eq(pct[HOST_HIGH], 500);
	cr_expect_eq(pct[HOST_LOW], 25);
}

Test(policy_estimate, believes_use_at_once_and_idleness_later)
{
	struct estimate estimate = {0};

	cr_expect_eq(estimate_active(&estimate, 1000), 1000, "nothing is known");
	for (u32 i = 0; i < 50; i++)
		estimate_add(&estimate, 0, 32);
	cr_expect_eq(estimate_active(&estimate, 1000), 0);
	estimate_add(&estimate, 32, 32);
	cr_expect_geq(estimate_active(&estimate, 1000), 490);
	for (u32 i = 0; i < 50; i++)
		estimate_add(&estimate, 32, 32);
	cr_expect_geq(estimate_active(&estimate, 1000), 990);
	estimate_add(&estimate, 0, 32);
	cr_expect_geq(estimate_active(&estimate, 1000), 600);
	estimate_add(&estimate, 0, 0);
	cr_expect_geq(estimate_active(&estimate, 1000), 600, "no samples teach nothing");
	for (u32 i = 0; i < 10; i++)
		estimate_add(&estimate, 0, 32);
	cr_expect_leq(estimate_active(&estimate, 1000), 50);
}

static bool look(struct stoploss *stoploss, const struct guest_signs *signs, u64 now_ms,
		 bool inflating)
{
	struct stoploss_guest guest = {inflating, GiB};

	return stoploss_look(stoploss, signs, now_ms, &guest);
}

Test(policy_stoploss, stalls_direct_reclaim_faults_and_refaults_hurt)
{
	static const struct guest_signs bad[] = {
		{.alloc_stalls = 1},   {.direct_scans = 1000}, {.direct_reclaims = 1000},
		{.major_faults = 500}, {.refaults = 500},
	};

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		struct stoploss stoploss = {0};
		struct guest_signs none = {0}, signs = bad[i];

		cr_expect_not(look(&stoploss, &none, 10000, true));
		cr_expect(look(&stoploss, &signs, 11000, true), "%u", i);
		cr_expect(stoploss.hurts);
		/* The same totals a second later: it is over, but the hold lasts. */
		cr_expect(look(&stoploss, &signs, 12000, true));
		cr_expect_not(stoploss.hurts);
		cr_expect_not(look(&stoploss, &signs, 21001, true));
	}
}

Test(policy_stoploss, a_few_faults_and_stale_figures_do_not)
{
	struct stoploss stoploss = {0};
	struct guest_signs signs = {0};

	for (u64 ms = 1000; ms < 60000; ms += 1000) {
		signs.major_faults += 10;
		signs.refaults += 10;
		cr_expect_not(look(&stoploss, &signs, ms + 1000, true));
	}
	signs.age_ms = STOPLOSS_FRESH_MS + 1;
	signs.alloc_stalls = 100;
	cr_expect_not(look(&stoploss, &signs, 70000, true));
	signs.age_ms = UINT64_MAX;
	cr_expect_not(look(&stoploss, &signs, 71000, true));
}

/* Figures that come once a second, looked at four times: they are one piece of news. */
Test(policy_stoploss, old_news_is_no_news)
{
	struct stoploss stoploss = {0};
	struct guest_signs signs = {0};

	for (u64 ms = 10000; ms < 60000; ms += 250) {
		signs.age_ms = ms % 1000;
		signs.refaults = ms / 1000 * 40;
		cr_expect_not(look(&stoploss, &signs, ms, true), "%lu", ms);
	}
}

Test(policy_stoploss, holds_longer_when_it_hurts_again)
{
	struct stoploss stoploss = {0};
	struct guest_signs signs = {0};

	look(&stoploss, &signs, 1000, true);
	signs.alloc_stalls++;
	look(&stoploss, &signs, 2000, true);
	cr_expect_eq(stoploss.hold_ms, 10000);
	signs.alloc_stalls++;
	look(&stoploss, &signs, 13000, true);
	cr_expect_eq(stoploss.hold_ms, 20000);
	for (u64 ms = 14000; ms < 2000000; ms += 1000) {
		signs.alloc_stalls++;
		look(&stoploss, &signs, ms, true);
	}
	cr_expect_eq(stoploss.hold_ms, 160000);
	signs.alloc_stalls++;
	look(&stoploss, &signs, 4000000, true);
	cr_expect_eq(stoploss.hold_ms, 10000, "a new pain after long peace");
}

Test(policy_stoploss, pain_that_no_inflation_caused_is_not_held_against_it)
{
	struct stoploss stoploss = {0};
	struct guest_signs signs = {0};

	for (u64 ms = 10000; ms < 60000; ms += 1000) {
		signs.alloc_stalls++;
		look(&stoploss, &signs, ms, false);
	}
	cr_expect_eq(stoploss.hold_ms, 0);
	cr_expect(look(&stoploss, &signs, 60500, false));
	cr_expect_not(look(&stoploss, &signs, 63000, false));
}

Test(policy_stoploss, a_guest_that_has_become_idle_is_asked_again)
{
	struct stoploss_guest busy = {1, GiB}, idle = {1, GiB / 4};
	struct stoploss stoploss = {0};
	struct guest_signs signs = {0};

	stoploss_look(&stoploss, &signs, 1000, &busy);
	signs.alloc_stalls++;
	cr_expect(stoploss_look(&stoploss, &signs, 2000, &busy));
	cr_expect(stoploss_look(&stoploss, &signs, 3000, &busy));
	cr_expect_not(stoploss_look(&stoploss, &signs, 4000, &idle));
}

static const struct coldness_goal goal = {.age_s = 120, .promotion_per_mille = 200};

Test(policy_coldness, the_threshold_follows_what_comes_back)
{
	struct coldness coldness = {0};
	u64 now = 1000, refaulted = 0;

	cr_expect_eq(coldness_follow(&coldness, &goal, now, refaulted, 100000, false), 120000);
	/* 1 % of the working set a minute came back. */
	cr_expect_eq(
		coldness_follow(&coldness, &goal, now += 60000, refaulted += 1000, 100000, false),
		240000);
	cr_expect_eq(coldness.promotion, 1000);
	/* 0.15 %: right so. */
	cr_expect_eq(
		coldness_follow(&coldness, &goal, now += 60000, refaulted += 150, 100000, false),
		240000);
	/* Nothing: it may be bolder, but never below the goal. */
	cr_expect_eq(coldness_follow(&coldness, &goal, now += 60000, refaulted, 100000, false),
		     210000);
	for (u32 i = 0; i < 100; i++)
		coldness_follow(&coldness, &goal, now += 60000, refaulted, 100000, false);
	cr_expect_eq(coldness.age_ms, 120000);
	for (u32 i = 0; i < 100; i++)
		coldness_follow(&coldness, &goal, now += 60000, refaulted += 100000, 0, false);
	cr_expect_eq(coldness.age_ms, COLDNESS_AGE_MAX_S * 1000UL);
}

/*
 * A guest whose pages are touched again after a time that differs from page to page: the younger what is
 * taken, the more comes back. The threshold settles where not more than the goal does.
 */
Test(policy_coldness, settles_where_the_goal_is_met)
{
	struct coldness coldness = {0};
	u64 now = 1000, refaulted = 0, over = 0;

	for (u32 minute = 0; minute < 1000; minute++) {
		u64 age_s = coldness_follow(&coldness, &goal, now, refaulted, 100000, false) / 1000;

		now += 60000;
		/* What comes back falls with the square of the age: 2 % a minute at 120 s. */
		refaulted += 2000UL * 120 * 120 / (age_s * age_s);
		over += minute > 20 && coldness.promotion > goal.promotion_per_mille;
	}
	cr_expect_geq(coldness.age_ms, 300000);
	cr_expect_leq(coldness.age_ms, 1500000);
	cr_expect_leq(over, 250, "%lu minutes of 1000 above the goal", over);
}

/* What comes back after a time of need was not taken for being cold. */
Test(policy_coldness, a_minute_in_which_memory_was_short_says_nothing)
{
	struct coldness coldness = {0};
	u64 now = 1000;

	coldness_follow(&coldness, &goal, now, 0, 100000, false);
	coldness_follow(&coldness, &goal, now += 30000, 0, 100000, true);
	cr_expect_eq(coldness_follow(&coldness, &goal, now += 30000, 50000, 100000, false), 120000);
	cr_expect_eq(coldness.promotion, 0);
	cr_expect_eq(coldness_follow(&coldness, &goal, now += 60000, 100000, 100000, false),
		     240000);
}

/* Looks four times a second at a guest that misses so many pages a second. */
static void miss(struct misses *misses, u64 *now_ms, u32 per_s, u32 seconds)
{
	for (u32 i = 0; i < 4 * seconds; i++) {
		*now_ms += 250;
		misses_look(misses, misses->missed + per_s / 4, *now_ms);
	}
}

Test(policy_misses, the_rate_follows_within_seconds)
{
	struct misses misses = {0};
	u64 now_ms = 1000;

	misses_look(&misses, 1000 * 1000, now_ms);
	cr_expect_eq(misses.per_ks, 0, "what was before the first look is nothing");
	miss(&misses, &now_ms, 400, 10);
	cr_expect_gt(misses.per_ks, 390 * 1000);
	cr_expect_leq(misses.per_ks, 400 * 1000);
	miss(&misses, &now_ms, 0, 10);
	cr_expect_lt(misses.per_ks, 8 * 1000);
}

Test(policy_misses, a_counter_that_went_back_or_stood_still_is_no_rate)
{
	struct misses misses = {0};

	misses_look(&misses, 5000, 1000);
	misses_look(&misses, 10, 1250);
	cr_expect_eq(misses.per_ks, 0);
	misses_look(&misses, UINT64_MAX, 1250);
	cr_expect_eq(misses.missed, 10, "no time has passed");
	misses_look(&misses, UINT64_MAX, 1500);
	cr_expect_eq(misses_calm(&misses, misses.per_ks, 2), 1);
}

Test(policy_misses, calm_is_who_misses_far_less_than_the_others)
{
	static const struct {
		u64 per_s;
		u32 calm;
	} guests[] = {{4000, 1}, {500, 1}, {125, 1}, {60, 2}, {30, 4}, {10, 12}, {1, 16}, {0, 16}};
	struct misses misses = {0};

	for (u32 i = 0; i < ARRAY_SIZE(guests); i++) {
		misses.per_ks = guests[i].per_s * 1000;
		cr_expect_eq(misses_calm(&misses, 8 * 1000 * 1000, 8), guests[i].calm, "%lu a second",
			     guests[i].per_s);
		cr_expect_eq(misses_calm(&misses, 99 * 1000, 8), 1, "hardly anything is missed");
	}
}
