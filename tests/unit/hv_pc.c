/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of a few instructions under a manager: how they are entered, heard, stopped and refused. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/hv_kernel.h"
#include "tests/unit/hv_manager.h"
#include "tests/unit/hv_snippet.h"

#define PUT(c) "movb $'" c "', %al\noutb %al, %dx\n"

/* Says whether it was given the start information, and what the command line begins with. */
SNIPPET(introduce,
	".code32\n"
	"movw $0x3f8, %dx\n"
	"cmpl $0x336ec578, (%ebx)\n"
	"jne 1f\n" PUT("P") PUT("V") PUT("H") PUT(" ") "movl 24(%ebx), %esi\n"
						       "movl $14, %ecx\n"
						       "0: lodsb\n"
						       "outb %al, %dx\n"
						       "loop 0b\n"
						       "movb $10, %al\n"
						       "outb %al, %dx\n"
						       "1: ud2\n" /* with no handler: a reset */
						       ".code64\n");

SNIPPET(sleep_for_ever, "0: hlt\njmp 0b\n");

/* Adds a page that it writes to, far from the rest, and halts. */
SNIPPET(touch,
	".code32\nmovl $0x1400000, %edi\nmovl $0x5a5a5a5a, (%edi)\n0: hlt\njmp 0b\n.code64\n");

static struct test_manager manager;
static struct test_kernel kernel;

static void set_up(void)
{
	test_manager_init(&manager);
	manager.guest.ram_bytes = 32 * MiB;
	manager.guest.data_bytes = sizeof(kernel);
	manager.data = (const char *)&kernel;
	strcpy(manager.guest.workload, ATTACH_WORKLOAD_LINUX);
	strcpy(manager.guest.args, "console=ttyS0");
}

static void tear_down(void)
{
	if (manager.ram >= 0)
		test_manager_end(&manager);
}

#define FIXTURE .init = set_up, .fini = tear_down, .timeout = 120

static void start(const u8 *code, const u8 *end)
{
	if (!test_have_kvm())
		cr_skip_test("no access to /dev/kvm");
	test_kernel_make(&kernel, code, (size_t)(end - code));
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	cr_assert_eq(manager.memory.accel, ATTACH_ACCEL_KVM);
}

#define START(name) start(snippet_##name, snippet_##name##_end)

/* It ends before it begins, with these words. */
static void expect_refused(const char *text)
{
	cr_assert_not(test_manager_start(&manager) &&
		      !test_manager_serve(&manager, ATTACH_EXIT, 10000));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_VMM, "%s", manager.exit.text);
	cr_assert(strstr(manager.exit.text, text), "%s: lacks `%s'", manager.exit.text, text);
}

Test(hv_pc, kernel_gets_its_start_info_and_prints, FIXTURE)
{
	START(introduce);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 30000), "%s", manager.console);
	cr_expect(strstr(manager.console, "PVH tsc_early_khz="), "%s", manager.console);
	cr_expect_eq(manager.exit.code, ATTACH_EXIT_CRASH);
	cr_expect(strstr(manager.exit.text, "reset its machine"), "%s", manager.exit.text);
}

Test(hv_pc, kernel_that_waits_is_stopped_gracefully, FIXTURE)
{
	START(sleep_for_ever);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 10000));
	test_manager_stop(&manager, true);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 30000));
	cr_expect_eq(manager.exit.code, ATTACH_EXIT_OK, "%s", manager.exit.text);
	cr_expect_eq(test_manager_wait(&manager, 5000), 0);
}

Test(hv_pc, kernel_sees_its_memory_where_the_manager_does, FIXTURE)
{
	START(touch);
	for (u32 i = 0; i < 1000 && manager.alias[20 * MiB] != 0x5a; i++)
		usleep(10000);
	cr_expect_eq(manager.alias[20 * MiB], 0x5a);
	test_manager_stop(&manager, false);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 30000));
	cr_expect_eq(manager.exit.code, ATTACH_EXIT_STOPPED);
}

Test(hv_pc, what_is_no_kernel_is_refused, FIXTURE)
{
	memcpy(&kernel, "MZ, and then a bzImage", 23);
	expect_refused("kernel: not an ELF file");
}

Test(hv_pc, kernel_larger_than_memory_is_refused, FIXTURE)
{
	test_kernel_make(&kernel, NULL, 0);
	manager.guest.ram_bytes = 16 * MiB;
	expect_refused("does not fit");
}

Test(hv_pc, two_processors_are_refused, FIXTURE)
{
	test_kernel_make(&kernel, NULL, 0);
	manager.guest.vcpus = 2;
	expect_refused("2 vCPUs");
}

Test(hv_pc, threads_cannot_run_a_kernel, FIXTURE)
{
	test_kernel_make(&kernel, NULL, 0);
	manager.guest.accel = ATTACH_ACCEL_THREAD;
	expect_refused("none that can run workload linux");
}

Test(hv_pc, no_kernel_is_refused, FIXTURE)
{
	manager.guest.data_bytes = 0;
	expect_refused("no kernel");
}
