/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded guest and its workloads, under both accelerators, with a manager and without. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/plain.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "tests/unit/hv_manager.h"

#define DATA_BYTES (64 * KiB)

static struct test_manager manager;

static void set_up(void)
{
	test_manager_init(&manager);
	manager.guest.vcpus = 2;
}

static void tear_down(void)
{
	if (manager.ram >= 0)
		test_manager_end(&manager);
}

#define FIXTURE .init = set_up, .fini = tear_down, .timeout = 120

static void need_kvm(void)
{
	if (!test_have_kvm())
		cr_skip_test("no access to /dev/kvm");
}

static void use(u32 accel, const char *workload, const char *args)
{
	static char data[DATA_BYTES];

	for (u32 i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * i >> 3);
	manager.data = data;
	manager.guest.data_bytes = sizeof(data);
	manager.guest.accel = accel;
	snprintf(manager.guest.workload, sizeof(manager.guest.workload), "%s", workload);
	snprintf(manager.guest.args, sizeof(manager.guest.args), "%s", args);
}

static void expect_verified(void)
{
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 60000), "%s", manager.console);
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_OK, "%s: %s %s",
		     attach_exit_name(manager.exit.code), manager.exit.text, manager.console);
	cr_assert_eq(manager.stats.verify_failures, 0);
	cr_assert_gt(manager.stats.pages_verified, 0);
	cr_assert_gt(manager.stats.ops, 0);
	cr_assert_gt(manager.stats.latency.count, 0);
	cr_assert_str_eq(manager.stats.phase, "done");
	cr_assert_eq(test_manager_wait(&manager, 20000), 0);
}

/* Zaps everything again and again until the guest has ended. */
static void zap_until_the_end(void)
{
	for (u32 i = 0; i < 20 && !manager.exited; i++) {
		test_manager_zap(&manager, 0, manager.guest.ram_bytes);
		usleep(1000);
	}
}

Test(hv_guest, kvm_guest_verifies_while_zapped, FIXTURE)
{
	need_kvm();
	use(ATTACH_ACCEL_KVM, "fill", "fill=60% write=20% ops=3000");
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	cr_assert_eq(manager.memory.accel, ATTACH_ACCEL_KVM);
	zap_until_the_end();
	if (!manager.exited)
		expect_verified();
}

Test(hv_guest, threads_verify_while_zapped, FIXTURE)
{
	use(ATTACH_ACCEL_THREAD, "fill", "fill=60% write=20% ops=3000");
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	cr_assert_eq(manager.memory.accel, ATTACH_ACCEL_THREAD);
	zap_until_the_end();
	if (!manager.exited)
		expect_verified();
}

Test(hv_guest, kv_runs_under_kvm, FIXTURE)
{
	need_kvm();
	use(ATTACH_ACCEL_AUTO, "kv", "mix=A fill=50% ops=5000");
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	expect_verified();
}

Test(hv_guest, graceful_stop_lets_it_verify, FIXTURE)
{
	need_kvm();
	use(ATTACH_ACCEL_KVM, "sweep", "fill=40%");
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	for (u32 i = 0; i < 100 && strcmp(manager.stats.phase, "run"); i++)
		cr_assert(test_manager_serve(&manager, ATTACH_STATS, 60000));
	test_manager_stop(&manager, true);
	expect_verified();
}

Test(hv_guest, threads_stop_hard, FIXTURE)
{
	use(ATTACH_ACCEL_THREAD, "sweep", "fill=40%");
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 60000));
	test_manager_stop(&manager, false);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 60000));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_STOPPED);
	cr_assert_eq(test_manager_wait(&manager, 20000), 0);
}

Test(hv_guest, nano_guest_boots_in_milliseconds, FIXTURE)
{
	u64 began;

	need_kvm();
	use(ATTACH_ACCEL_KVM, "idle", "fill=10% ops=1 verify=no");
	began = clock_now_ns();
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 60000));
	log_info("nano guest: %llu us from START to EXIT, %llu us with the process, %llu faults",
		 (unsigned long long)((clock_now_ns() - manager.started_at) / NSEC_PER_USEC),
		 (unsigned long long)((clock_now_ns() - began) / NSEC_PER_USEC),
		 (unsigned long long)manager.faults);
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_OK, "%s %s", manager.exit.text,
		     manager.console);
	cr_assert_lt(clock_now_ns() - began, 20 * NSEC_PER_SEC);
}

Test(hv_guest, plain_guest_needs_no_manager, FIXTURE)
{
	struct attach_stats stats;
	struct plain_orders orders = {.stop = false};

	use(ATTACH_ACCEL_AUTO, "fill", "fill=50% write=10% ops=2000");
	manager.guest.data_bytes = 0;
	cr_assert_eq(plain_guest_run(&manager.guest, -1, PLAIN_HUGE, &orders, &stats), 0);
	cr_assert_eq(stats.ops, 2 * 2000);
	cr_assert_eq(stats.verify_failures, 0);
}

Test(hv_guest, plain_guest_stops_when_told, FIXTURE)
{
	struct attach_stats stats;
	struct plain_orders orders = {.stop = true};

	use(ATTACH_ACCEL_THREAD, "sweep", "fill=20%");
	manager.guest.data_bytes = 0;
	cr_assert_eq(plain_guest_run(&manager.guest, -1, 0, &orders, &stats), 0);
	cr_assert_str_eq(stats.phase, "done");
}
