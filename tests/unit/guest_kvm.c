// SPDX-License-Identifier: Apache-2.0
/* The nano guest itself: every workload under KVM, on plain memory, to its end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
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
	struct plain_orders orders = {.stop = false};
	struct attach_stats stats;

	need_kvm();
	cr_assert_eq(plain_guest_run(&guest, -1, 0, &orders, &stats), 0);
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
	struct plain_orders orders = {.stop = true};
	struct attach_stats stats;

	need_kvm();
	cr_expect_eq(plain_guest_run(&guest, -1, PLAIN_HUGE, &orders, &stats), 0);
	cr_expect_eq(stats.verify_failures, 0);
}

/* Shared by the process that runs a guest and the one that directs it. */
struct director {
	struct plain_orders orders;
	struct attach_stats stats;
};

/* Lets the guest begin once it waits, and stop once its work is done. Returns the operations it did before it was
 * let begin. */
static u64 direct(struct director *director)
{
	volatile struct attach_stats *stats = &director->stats;
	u64 early;

	while (strcmp((const char *)stats->phase, "wait") != 0)
		usleep(1000);
	early = stats->ops;
	director->orders.begin = true;
	while (!stats->run_ns)
		usleep(1000);
	director->orders.stop = true;
	return early;
}

Test(guest_kvm, it_waits_for_others_and_holds_until_told, .timeout = 120)
{
	struct attach_guest guest = guest_of("fill", "ops=1000 begin=together after=hold");
	struct director *director = mmap(NULL, sizeof(*director), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	need_kvm();
	cr_assert_neq(director, MAP_FAILED);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid)
		_exit(plain_guest_run(&guest, -1, PLAIN_MERGEABLE, &director->orders,
				      &director->stats)
			      ? EXIT_FAILURE
			      : EXIT_SUCCESS);
	cr_expect_eq(direct(director), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	cr_expect_eq(director->stats.ops, 2000);
	cr_expect_gt(director->stats.run_ns, 0);
	cr_expect_str_eq(director->stats.phase, "done");
	munmap(director, sizeof(*director));
}
