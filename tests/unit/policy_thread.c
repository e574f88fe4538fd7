/* SPDX-License-Identifier: Apache-2.0 */
/* The policy at work on real guests: what it sets, what it refuses, what it remembers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "manager/decisions.h"
#include "manager/policy.h"
#include "tests/unit/mem_rig.h"

#define BYTES (32 * MiB)

struct stage {
	struct mem_rig rig;
	struct host_config config;
	struct guest_config guests[2];
	int wake;
	struct policy *policy;
};

static void start(struct stage *stage, bool dry_run)
{
	memset(stage, 0, sizeof(*stage));
	mem_rig_start(&stage->rig, BYTES, 64 * MiB, false);
	host_config_defaults(&stage->config);
	stage->config.memory_bytes = 64 * MiB;
	stage->config.guests = stage->guests;
	stage->config.guest_count = 2;
	stage->config.sample_ms = 10;
	stage->config.policy.interval_ms = 10;
	stage->config.policy.dry_run = dry_run;
	for (u32 i = 0; i < 2; i++) {
		guest_config_defaults(&stage->guests[i]);
		snprintf(stage->guests[i].name, sizeof(stage->guests[i].name), "guest%u", i);
		stage->guests[i].memory_bytes = BYTES;
		stage->guests[i].tuning.min = 8 * MiB;
	}
	stage->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cr_assert_eq(policy_create(&stage->config, &stage->rig.memory, stage->wake, &stage->policy),
		     0);
	for (u32 i = 0; i < stage->config.guest_count; i++)
		cr_assert_eq(policy_add(stage->policy, &stage->guests[i]), (int)i);
}

static void stop(struct stage *stage)
{
	policy_detach(stage->policy, 0);
	policy_destroy(stage->policy);
	close(stage->wake);
	mem_rig_stop(&stage->rig);
}

/* Until so many more steps are done. */
static void wait_steps(struct stage *stage, u64 steps)
{
	struct policy_host host;
	u64 until;

	policy_host_snapshot(stage->policy, &host);
	until = host.steps + steps;
	for (u32 i = 0; i < 60000 && host.steps < until; i++) {
		usleep(1000);
		policy_host_snapshot(stage->policy, &host);
	}
	cr_assert_geq(host.steps, until);
}

Test(policy_thread, sets_what_a_guest_is_entitled_to)
{
	struct stage stage;
	struct entitlement *entitlement;
	struct guest_tuning tuning;
	struct policy_guest guest;
	char why[256];

	start(&stage, false);
	entitlement = &stage.rig.guest.space->entitlement;
	policy_attach(stage.policy, 0, stage.rig.guest.space);
	cr_expect_eq(entitlement->min, 8 * MiB / PAGE_SIZE, "at once");
	cr_expect_eq(entitlement->swap_max, UINT64_MAX);
	cr_expect_eq(policy_get_guest(stage.policy, 0, &tuning), 0);
	tuning.swap_max = 4 * MiB;
	cr_expect_eq(policy_set_guest(stage.policy, 0, &tuning, why, sizeof(why)), 0);
	mem_guest_write_all(&stage.rig.guest, 1);
	wait_steps(&stage, 3);
	cr_expect_leq(entitlement->goal, BYTES / PAGE_SIZE);
	cr_expect_geq(entitlement->goal, entitlement->keep);
	cr_expect_eq(entitlement->swap_max, 4 * MiB / PAGE_SIZE);
	policy_guest_snapshot(stage.policy, 0, &guest);
	cr_expect_eq(guest.shares, 320);
	cr_expect_eq(guest.limit, UINT64_MAX);
	cr_expect_eq(mem_guest_check_all(&stage.rig.guest, 1), 0);
	mem_guest_settle(&stage.rig.guest);
	stop(&stage);
}

Test(policy_thread, a_dry_run_decides_and_changes_nothing)
{
	struct stage stage;
	struct policy_host host;
	char text[8192];

	start(&stage, true);
	policy_attach(stage.policy, 0, stage.rig.guest.space);
	wait_steps(&stage, 3);
	cr_expect_eq(stage.rig.guest.space->entitlement.goal, UINT64_MAX);
	cr_expect_eq(stage.rig.guest.space->entitlement.min, 8 * MiB / PAGE_SIZE);
	policy_host_snapshot(stage.policy, &host);
	cr_expect_gt(host.decisions, 0);
	cr_expect_gt(policy_decisions(stage.policy, text, sizeof(text)), 0);
	cr_expect(strstr(text, "guest0 (dry run): hold"), "%s", text);
	stop(&stage);
}

/* The host is at its last, by the figures it is given: who has more than its goal is blocked, and who has
 * less is not. */
Test(policy_thread, in_low_who_is_above_its_goal_is_blocked_and_nobody_else)
{
	struct stage stage;
	struct mem_guest_options options = {.bytes = BYTES};
	struct mem_guest poor;
	struct policy_tuning tuning;
	struct policy_guest guest;
	struct policy_host host;
	char why[128];

	start(&stage, false);
	mem_guest_start(&poor, &stage.rig.memory, &options);
	policy_attach(stage.policy, 0, stage.rig.guest.space);
	policy_attach(stage.policy, 1, poor.space);
	mem_guest_write_all(&stage.rig.guest, 1);
	mem_guest_write(&poor, 0, 1);
	policy_get_tuning(stage.policy, &tuning);
	tuning.min_free = GiB;
	cr_assert_eq(policy_set_tuning(stage.policy, &tuning, why, sizeof(why)), 0, "%s", why);
	wait_steps(&stage, 3);
	policy_host_snapshot(stage.policy, &host);
	cr_expect_eq(host.state, HOST_LOW);
	cr_expect(atomic_load(&stage.rig.guest.space->entitlement.blocked));
	cr_expect_not(atomic_load(&poor.space->entitlement.blocked));
	policy_guest_snapshot(stage.policy, 1, &guest);
	cr_expect_eq(guest.blocked, 0);
	policy_guest_snapshot(stage.policy, 0, &guest);
	cr_expect_gt(guest.blocked, 0);
	/* Memory is there again, and nobody waits any more. */
	tuning.min_free = 0;
	cr_assert_eq(policy_set_tuning(stage.policy, &tuning, why, sizeof(why)), 0, "%s", why);
	wait_steps(&stage, 3);
	cr_expect_not(atomic_load(&stage.rig.guest.space->entitlement.blocked));
	policy_detach(stage.policy, 1);
	mem_guest_settle(&poor);
	mem_guest_stop(&poor);
	stop(&stage);
}

Test(policy_thread, mins_that_do_not_fit_are_refused_with_the_figures)
{
	struct stage stage;
	struct guest_tuning tuning;
	char why[512] = "";

	start(&stage, false);
	cr_expect_eq(policy_admit(stage.policy, 0, why, sizeof(why)), 0);
	cr_expect_eq(policy_get_guest(stage.policy, 1, &tuning), 0);
	tuning.min = tuning.max = 32 * MiB;
	cr_expect_eq(policy_set_guest(stage.policy, 1, &tuning, why, sizeof(why)), 0);
	cr_expect_eq(policy_admit(stage.policy, 1, why, sizeof(why)), 0, "%s", why);
	policy_get_guest(stage.policy, 0, &tuning);
	tuning.min = 30 * MiB;
	cr_expect_eq(policy_set_guest(stage.policy, 0, &tuning, why, sizeof(why)), -EINVAL);
	cr_expect(strstr(why, "min of 30 MiB does not fit"), "%s", why);
	policy_get_guest(stage.policy, 0, &tuning);
	cr_expect_eq(tuning.min, 8 * MiB, "nothing half-applied");
	/* The second guest goes, and leaves room. */
	policy_detach(stage.policy, 1);
	tuning.min = 30 * MiB;
	cr_expect_eq(policy_set_guest(stage.policy, 0, &tuning, why, sizeof(why)), 0);
	cr_expect_eq(policy_set_guest(stage.policy, 7, &tuning, why, sizeof(why)), -ENOENT);
	stop(&stage);
}

Test(policy_thread, tuning_is_taken_whole_or_not_at_all)
{
	struct stage stage;
	struct policy_tuning tuning, now;
	char why[512];

	start(&stage, false);
	policy_get_tuning(stage.policy, &tuning);
	tuning.idle_tax_pct = 50;
	tuning.state_pct[HOST_LOW] = 32;
	cr_expect_eq(policy_set_tuning(stage.policy, &tuning, why, sizeof(why)), -EINVAL);
	policy_get_tuning(stage.policy, &now);
	cr_expect_eq(now.idle_tax_pct, 75);
	tuning.state_pct[HOST_LOW] = 8;
	cr_expect_eq(policy_set_tuning(stage.policy, &tuning, why, sizeof(why)), 0);
	policy_get_tuning(stage.policy, &now);
	cr_expect_eq(now.idle_tax_pct, 50);
	stop(&stage);
}

Test(policy_thread, limits_and_mins_are_checked_against_the_guest)
{
	static const struct guest_tuning wrong[] = {
		{.max = 64 * MiB},
		{.min = 24 * MiB, .max = 16 * MiB},
		{.min = 24 * MiB, .limit = 16 * MiB},
		{.limit = 1 * MiB},
		{.shares = 1000001},
	};
	char why[256];

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(guest_tuning_check(&wrong[i], BYTES, why, sizeof(why)), -EINVAL, "%u",
			     i);
	cr_expect_eq(guest_tuning_check(&(struct guest_tuning){0}, BYTES, why, sizeof(why)), 0);
}

Test(policy_thread, the_log_counts_repetitions_and_forgets_the_oldest)
{
	static struct decisions decisions;
	struct decision_entry entry = {.guest = 1};

	for (u32 i = 0; i < 10; i++)
		decisions_add(&decisions, &entry);
	cr_expect_eq(decisions.count, 10);
	cr_expect_eq(decisions_get(&decisions, 0)->times, 10);
	cr_expect_null(decisions_get(&decisions, 1));
	for (u32 i = 0; i < 2 * DECISIONS_KEPT; i++) {
		entry.decision.reason = i % 2 ? TARGET_EXCESS : TARGET_FITS;
		entry.decision.action = i % 2 ? TARGET_INFLATE : TARGET_HOLD;
		decisions_add(&decisions, &entry);
	}
	cr_expect_not_null(decisions_get(&decisions, DECISIONS_KEPT - 1));
	cr_expect_null(decisions_get(&decisions, DECISIONS_KEPT));
}
