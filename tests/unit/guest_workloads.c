// SPDX-License-Identifier: Apache-2.0
/* Every workload as threads on memory that is in order: it does what it says, and finds no fault. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest-driver/random.h"
#include "guest_rig.h"
#include "lib/clock.h"

#define RAM   (16 * MiB)
#define VCPUS 2

static void expect_clean(struct guest_rig *rig)
{
	for (u32 i = 0; i < rig->boot->vcpus; i++) {
		struct guest_vcpu_stats stats;

		guest_stats_copy(&stats, rig_stats(rig, i));
		cr_expect_eq(stats.phase, GUEST_PHASE_DONE);
		cr_expect_eq(stats.verify_failures, 0);
		cr_expect_eq(stats.bad_address, 0);
		cr_expect_gt(stats.pages_verified, 0);
		cr_expect_eq(stats.latency.count, stats.ops);
	}
	cr_expect_eq(rig->length, 0, "%s", rig->text);
}

static void run_clean(const char *workload, const char *args, const u8 *data, u64 data_bytes)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, VCPUS, workload, args, data, data_bytes);
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	expect_clean(&rig);
	for (u32 i = 0; i < VCPUS; i++)
		cr_expect_eq(rig_stats(&rig, i)->ops, rig.boot->args.ops);
	rig_end(&rig);
}

Test(guest_workloads, fill_verifies)
{
	run_clean("fill", "ops=20K", NULL, 0);
}

Test(guest_workloads, kv_verifies_all_mixes)
{
	run_clean("kv", "ops=20K mix=A", NULL, 0);
	run_clean("kv", "ops=20K mix=B value=100", NULL, 0);
	run_clean("kv", "ops=20K mix=C value=64K zero=10 same=10 random=10", NULL, 0);
	run_clean("kv", "ops=20K theta=0 fill=100 value=32", NULL, 0);
}

Test(guest_workloads, sweep_verifies)
{
	run_clean("sweep", "ops=20K fill=100", NULL, 0);
}

Test(guest_workloads, phase_verifies)
{
	run_clean("phase", "ops=20K phase=10ms phase-size=1%", NULL, 0);
	run_clean("phase", "ops=20K phase-size=100%", NULL, 0);
}

Test(guest_workloads, idle_verifies)
{
	run_clean("idle", "ops=2", NULL, 0);
}

Test(guest_workloads, data_is_what_the_host_gives)
{
	u64 bytes = 300 * KiB + 17, state = 5;
	u8 *data = malloc(bytes);

	for (u64 i = 0; i < bytes; i++)
		data[i] = (u8)random_next(&state);
	run_clean("fill", "ops=5000 zero=0 same=0 random=0", data, bytes);
	run_clean("kv", "ops=5000", data, bytes);
	run_clean("fill", "ops=5000", data, 1000); /* too small to cut from: text instead */
	free(data);
}

/* All pages, each once: the pages of the share but for the versions beside them. */
Test(guest_workloads, the_end_verifies_every_page)
{
	struct guest_rig rig;
	u64 share = (RAM - GUEST_LOW_BYTES) / PAGE_SIZE / 2 - 64;

	rig_start(&rig, RAM, 1, "fill", "fill=50 ops=1 write=0", NULL, 0);
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	cr_expect_eq(rig_stats(&rig, 0)->pages_verified, 1 + share - (share + 1024) / 1025);
	rig_end(&rig);
}

Test(guest_workloads, verify_no_ends_at_once)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, 1, "fill", "ops=10 write=0 verify=no", NULL, 0);
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	cr_expect_eq(rig_stats(&rig, 0)->pages_verified, 10);
	rig_end(&rig);
}

Test(guest_workloads, memory_beyond_the_share_stays_untouched)
{
	struct guest_rig rig;
	u64 end = GUEST_LOW_BYTES + (RAM - GUEST_LOW_BYTES) / 2;

	rig_start(&rig, RAM, VCPUS, "fill", "ops=1000 fill=50", NULL, 0);
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	for (u64 at = end; at < RAM; at++)
		cr_assert_eq(rig.host.ram[at], 0);
	rig_end(&rig);
}

static void stop_at_fill(struct guest_rig *rig, u32 vcpu, enum guest_phase phase)
{
	(void)vcpu;
	if (phase == GUEST_PHASE_FILL)
		guest_stop(rig->boot);
}

Test(guest_workloads, a_stop_before_the_fill_ends_in_order)
{
	struct guest_rig rig;

	rig_start(&rig, RAM, VCPUS, "kv", "", NULL, 0);
	rig.hook = stop_at_fill;
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	cr_expect_eq(rig_stats(&rig, 0)->phase, GUEST_PHASE_DONE);
	cr_expect_eq(rig_stats(&rig, 0)->ops, 0);
	rig_end(&rig);
}

Test(guest_workloads, a_stop_ends_each_of_them)
{
	for (u32 workload = 0; workload < GUEST_WORKLOADS; workload++) {
		static const char *const names[] = {"fill", "kv", "sweep", "phase", "idle"};
		struct guest_rig rig;

		rig_start(&rig, RAM, VCPUS, names[workload], "", NULL, 0);
		cr_expect_eq(rig_run_for(&rig, 60), GUEST_EXIT_OK);
		expect_clean(&rig);
		rig_end(&rig);
	}
}

Test(guest_workloads, a_fill_takes_the_time_it_is_given)
{
	u64 start = clock_now_ns();
	struct guest_rig rig;

	rig_start(&rig, RAM, 1, "fill", "fill-time=300ms ops=1 verify=no", NULL, 0);
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	/* Less what a millisecond rounds off. */
	cr_expect_geq(clock_now_ns() - start, 295 * NSEC_PER_MSEC);
	rig_end(&rig);
}

Test(guest_workloads, think_time_is_kept_on_average)
{
	struct guest_rig rig;
	u64 start;

	rig_start(&rig, RAM, 1, "fill", "ops=500 think=100us verify=no", NULL, 0);
	start = clock_now_ns();
	cr_expect_eq(rig_run(&rig), GUEST_EXIT_OK);
	cr_expect_geq(clock_now_ns() - start, 50 * NSEC_PER_MSEC);
	rig_end(&rig);
}

/* Two guests of one seed hold the same bytes; that is what sharing between them will find. */
Test(guest_workloads, content_depends_on_the_seed_alone)
{
	struct guest_rig one, two;

	rig_start(&one, RAM, VCPUS, "fill", "ops=100", NULL, 0);
	rig_start(&two, RAM, VCPUS, "fill", "ops=100", NULL, 0);
	rig_run(&one);
	rig_run(&two);
	cr_expect_eq(memcmp(one.host.ram + GUEST_LOW_BYTES, two.host.ram + GUEST_LOW_BYTES,
			    RAM - GUEST_LOW_BYTES),
		     0);
	rig_end(&one);
	rig_end(&two);
}
