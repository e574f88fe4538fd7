// SPDX-License-Identifier: Apache-2.0
/* The nano guest itself: every workload under KVM, on plain memory, to its end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "guest-driver/args.h"
#include "hv/plain.h"

#define RAM_BYTES (32 * MiB)

static void need_kvm(void)
{
	if (access("/dev/kvm", R_OK | W_OK))
		cr_skip_test("no /dev/kvm that we may use: threads stand in for the guest");
}

static struct attach_guest guest_of(const char *workload, const char *args)
{
	struct attach_guest guest = {
		.ram_bytes = RAM_BYTES, .seed = 11, .vcpus = 2, .accel = ATTACH_ACCEL_KVM};

	snprintf(guest.name, sizeof(guest.name), "test");
	snprintf(guest.workload, sizeof(guest.workload), "%s", workload);
	snprintf(guest.args, sizeof(guest.args), "%s", args);
	return guest;
}

static void run_under_kvm(const char *workload, const char *args, u64 ops)
{
	struct attach_guest guest = guest_of(workload, args);
	volatile bool stop = false;
	struct attach_stats stats;

	need_kvm();
	cr_assert_eq(plain_guest_run(&guest, -1, false, &stop, &stats), 0);
	cr_expect_eq(stats.ops, ops);
	cr_expect_eq(stats.verify_failures, 0);
	cr_expect_gt(stats.pages_verified, 1000);
}

TestSuite(guest_kvm, .timeout = 60);

Test(guest_kvm, fill)
{
	run_under_kvm("fill", "ops=20K", 40000);
}

Test(guest_kvm, kv)
{
	run_under_kvm("kv", "ops=20K mix=A", 40000);
}

Test(guest_kvm, sweep)
{
	run_under_kvm("sweep", "ops=20K", 40000);
}

Test(guest_kvm, phase)
{
	run_under_kvm("phase", "ops=20K phase=10ms", 40000);
}

Test(guest_kvm, idle)
{
	run_under_kvm("idle", "ops=3", 6);
}

Test(guest_kvm, a_stop_ends_it)
{
	struct attach_guest guest = guest_of("sweep", "");
	volatile bool stop = true;
	struct attach_stats stats;

	need_kvm();
	cr_expect_eq(plain_guest_run(&guest, -1, true, &stop, &stats), 0);
	cr_expect_eq(stats.verify_failures, 0);
}
