/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM process from the manager's end of the socket: guests that end well, guests that must die in
 * a stated way, and managers that go away.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/vmm.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "tests/unit/hv_manager.h"
#include "tests/unit/hv_snippet.h"

#define WITHHELD (8 * MiB) /* no snippet's own memory lies there */

static struct test_manager manager;
static struct snippet_elf elf;

static void set_up(void)
{
	if (!test_have_kvm())
		cr_skip_test("no access to /dev/kvm");
	test_manager_init(&manager);
}

static void tear_down(void)
{
	if (manager.ram >= 0)
		test_manager_end(&manager);
}

#define FIXTURE .init = set_up, .fini = tear_down, .timeout = 60

#define start(name)                                                                                \
	do {                                                                                       \
		SNIPPET_ELF(&elf, name);                                                           \
		manager.image = &elf.image;                                                        \
		cr_assert(test_manager_start(&manager), "%s", manager.exit.text);                  \
	} while (0)

/* The guest ends by itself, the process with it, and the last word before EXIT was STATS. */
static void expect_exit(enum attach_exit_code code, const char *text)
{
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 20000));
	cr_assert_eq(manager.exit.code, code, "exit %s: %s", attach_exit_name(manager.exit.code),
		     manager.exit.text);
	cr_assert(strstr(manager.exit.text, text), "'%s' is not about '%s'", manager.exit.text,
		  text);
	cr_assert_gt(manager.stats_count, 0);
	cr_assert_eq(test_manager_wait(&manager, 20000), 0);
}

/* Waits until the guest waits for memory it will not get. */
static void await_stuck(void)
{
	for (int i = 0; i < 500 && !manager.withheld; i++)
		usleep(10000);
	cr_assert(manager.withheld);
	usleep(20000);
}

SNIPPET(leave, "xorl %eax, %eax\n" SNIPPET_EXIT);

Test(hv_vmm, guest_that_exits_is_reported_ok, FIXTURE)
{
	start(leave);
	expect_exit(ATTACH_EXIT_OK, "");
}

SNIPPET(mistaken, "movl $1, %eax\n" SNIPPET_EXIT);

Test(hv_vmm, guest_that_read_wrong_is_reported, FIXTURE)
{
	start(mistaken);
	expect_exit(ATTACH_EXIT_VERIFY, "");
}

SNIPPET(panic, "movl $77, %eax\n" SNIPPET_EXIT);

Test(hv_vmm, unknown_exit_code_is_a_crash, FIXTURE)
{
	start(panic);
	expect_exit(ATTACH_EXIT_CRASH, "exit 77");
}

SNIPPET(fault, "ud2");

Test(hv_vmm, exception_ends_the_guest_with_its_rip, FIXTURE)
{
	start(fault);
	expect_exit(ATTACH_EXIT_CRASH, "triple fault");
	cr_assert(strstr(manager.exit.text, "rip 0x100000"), "%s", manager.exit.text);
}

SNIPPET(null, "movl 0, %eax\n" SNIPPET_EXIT);

Test(hv_vmm, null_page_is_not_mapped, FIXTURE)
{
	start(null);
	expect_exit(ATTACH_EXIT_CRASH, "triple fault");
}

SNIPPET(tables, "movl $0, 0x80000\nxorl %eax, %eax\n" SNIPPET_EXIT);

Test(hv_vmm, guest_cannot_write_its_page_tables, FIXTURE)
{
	start(tables);
	expect_exit(ATTACH_EXIT_CRASH, "triple fault");
}

SNIPPET(beyond, "movl $16 << 20, %eax\nmovl (%rax), %eax\n" SNIPPET_EXIT);

Test(hv_vmm, memory_beyond_the_end_is_not_mapped, FIXTURE)
{
	start(beyond);
	expect_exit(ATTACH_EXIT_CRASH, "triple fault");
}

SNIPPET(halt, "hlt");

Test(hv_vmm, halt_in_user_mode_is_a_crash, FIXTURE)
{
	start(halt);
	expect_exit(ATTACH_EXIT_CRASH, "vCPU 0");
}

SNIPPET(data, "movabsq $0x4040000000, %rbx\n"
	      "movl (%rbx), %eax\n"
	      "subl $0x34333231, %eax\n"
	      "setne %al\nmovzbl %al, %eax\n" SNIPPET_EXIT);

Test(hv_vmm, data_file_is_mapped, FIXTURE)
{
	manager.data = "1234567";
	manager.guest.data_bytes = 7;
	start(data);
	expect_exit(ATTACH_EXIT_OK, "");
}

SNIPPET(data_write, "movabsq $0x4040000000, %rbx\n"
		    "movl %eax, (%rbx)\n" SNIPPET_EXIT);

Test(hv_vmm, data_file_is_read_only, FIXTURE)
{
	manager.data = "1234567";
	manager.guest.data_bytes = 7;
	start(data_write);
	expect_exit(ATTACH_EXIT_CRASH, "triple fault");
}

/* Every seventh port, in and out, 8 and 32 bits; sparing the ports to sleep and to exit. */
SNIPPET(ports, "movl $0x10000, %ebx\n"
	       "1: subl $7, %ebx\njs 2f\n"
	       "movl %ebx, %edx\nandl $0xfff0, %edx\ncmpl $0x600, %edx\nje 1b\n"
	       "movl %ebx, %edx\nmovl $0xa5a5a5a5, %eax\n"
	       "outl %eax, %dx\noutb %al, %dx\ninl %dx, %eax\ninb %dx, %al\n"
	       "jmp 1b\n"
	       "2: movw $0x5550, %dx\ninl %dx, %eax\nincl %eax\n" /* all ones: 0 is OK */
	SNIPPET_EXIT);

Test(hv_vmm, rubbish_to_all_ports_is_survived, FIXTURE)
{
	start(ports);
	expect_exit(ATTACH_EXIT_OK, "");
}

/* Stores of every width all over the page of registers, then the scratch register must hold. */
SNIPPET(registers, "movabsq $0x4000000000, %rdi\n"
		   "movabsq $0x1122334455667788, %rax\n"
		   "movl $0x1000 - 8, %ecx\n"
		   "1: movq %rax, (%rdi,%rcx)\nmovl %eax, 1(%rdi,%rcx)\n"
		   "movb %al, 3(%rdi,%rcx)\nmovw (%rdi,%rcx), %bx\n"
		   "subl $24, %ecx\njns 1b\n"
		   "movq %rax, 8(%rdi)\nmovq 8(%rdi), %rbx\n"
		   "cmpq %rbx, %rax\njne 2f\n"
		   "cmpl $-1, 0x100(%rdi)\njne 2f\n"
		   "xorl %eax, %eax\njmp 3f\n"
		   "2: movl $1, %eax\n3:\n" SNIPPET_EXIT);

Test(hv_vmm, rubbish_to_all_registers_is_survived, FIXTURE)
{
	start(registers);
	expect_exit(ATTACH_EXIT_OK, "");
}

/* A whole page of string output to the console. */
SNIPPET(shout,
	"leaq 1f(%rip), %rsi\nmovw $0x3f8, %dx\nmovl $2f - 1f, %ecx\nrep outsb\n"
	"xorl %eax, %eax\n" SNIPPET_EXIT "1: .ascii \"hello\\033[2J\\n\"\n.fill 6000, 1, 0x41\n2:");

Test(hv_vmm, console_is_forwarded_clean_and_bounded, FIXTURE)
{
	start(shout);
	expect_exit(ATTACH_EXIT_OK, "");
	cr_assert_eq(strncmp(manager.console, "hello?[2J\nAAA", 13), 0, "%.20s", manager.console);
}

SNIPPET(spin, "0: pause\njmp 0b");

Test(hv_vmm, hard_stop_ends_a_spinning_guest, FIXTURE)
{
	u64 began;

	manager.guest.vcpus = 4;
	start(spin);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 60000));
	began = clock_now_ns();
	test_manager_stop(&manager, false);
	expect_exit(ATTACH_EXIT_STOPPED, "enough");
	cr_assert_lt(manager.exited_at - began, 20 * NSEC_PER_SEC);
}

SNIPPET(starve, "movl $8 << 20, %eax\n"
		"movl %eax, (%rax)\n" SNIPPET_EXIT);

Test(hv_vmm, hard_stop_ends_a_guest_stuck_in_a_fault, FIXTURE)
{
	u64 began;

	manager.withhold_from = WITHHELD;
	start(starve);
	await_stuck();
	began = clock_now_ns();
	test_manager_stop(&manager, false);
	expect_exit(ATTACH_EXIT_STOPPED, "enough");
	cr_assert_lt(manager.exited_at - began, 20 * NSEC_PER_SEC);
}

Test(hv_vmm, hangup_ends_a_guest_stuck_in_a_fault, FIXTURE)
{
	int status;

	manager.withhold_from = WITHHELD;
	start(starve);
	await_stuck();
	/* As the kernel does for a manager that was killed: all its descriptors close. */
	manager.quit = true;
	pthread_join(manager.thread, NULL);
	manager.thread = 0;
	close(manager.uffd);
	close(manager.socket);
	manager.uffd = manager.socket = -1;
	status = test_manager_wait(&manager, 20000);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), VMM_STATUS_ORPHAN);
	cr_assert_eq(manager.alias[WITHHELD], 0, "the guest ran on over a zero page");
}

Test(hv_vmm, hangup_ends_a_spinning_guest, FIXTURE)
{
	int status;

	start(spin);
	close(manager.socket);
	manager.socket = -1;
	status = test_manager_wait(&manager, 20000);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), VMM_STATUS_ORPHAN);
}

Test(hv_vmm, terminal_signals_are_the_managers_to_handle, FIXTURE)
{
	start(spin);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 60000));
	kill(manager.pid, SIGINT);
	kill(manager.pid, SIGHUP);
	usleep(50000);
	test_manager_stop(&manager, false);
	expect_exit(ATTACH_EXIT_STOPPED, "enough");
}

/* Sleeps until the boot page says stop. */
SNIPPET(patient, "1: movl $60000, %eax\nmovw $0x600, %dx\noutl %eax, %dx\n"
		 "movl 0x1000 + 60, %eax\ntestl %eax, %eax\njz 1b\n"
		 "xorl %eax, %eax\n" SNIPPET_EXIT);
_Static_assert(offsetof(struct guest_boot, stop) == 60, "snippet patient reads it there");

Test(hv_vmm, graceful_stop_wakes_a_sleeping_guest, FIXTURE)
{
	u64 began;

	start(patient);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 60000));
	usleep(50000);
	began = clock_now_ns();
	test_manager_stop(&manager, true);
	expect_exit(ATTACH_EXIT_OK, "");
	cr_assert_lt(manager.exited_at - began, 20 * NSEC_PER_SEC);
}

/* Counts in memory; a lost store would be seen as a mismatch with the register. */
SNIPPET(count, "movl $4 << 20, %ebx\nxorl %ecx, %ecx\nmovl %ecx, (%rbx)\n"
	       "1: cmpl %ecx, (%rbx)\njne 2f\nincl %ecx\nmovl %ecx, (%rbx)\n"
	       "cmpl $0, 0x1000 + 60\nje 1b\n"
	       "xorl %eax, %eax\njmp 3f\n2: movl $1, %eax\n3:\n" SNIPPET_EXIT);

Test(hv_vmm, zapped_memory_keeps_its_content, FIXTURE)
{
	u64 before;

	start(count);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 60000));
	before = manager.faults;
	for (u32 i = 0; i < 50 || (i < 10000 && manager.faults == before); i++) {
		cr_assert(test_manager_zap(&manager, 0, manager.guest.ram_bytes));
		usleep(1000); /* for the guest to touch it again */
	}
	cr_assert_gt(manager.faults, before, "a zap costs the guest a fault");
	test_manager_stop(&manager, true);
	expect_exit(ATTACH_EXIT_OK, "");
}

Test(hv_vmm, zap_outside_of_memory_ends_the_guest, FIXTURE)
{
	start(spin);
	test_manager_zap(&manager, manager.guest.ram_bytes, PAGE_SIZE);
	if (!manager.exited)
		cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 60000));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_VMM);
}

Test(hv_vmm, zap_is_answered_while_the_guest_is_stuck, FIXTURE)
{
	manager.withhold_from = WITHHELD;
	start(starve);
	await_stuck();
	cr_assert(test_manager_zap(&manager, 0, WITHHELD));
	test_manager_stop(&manager, false);
	expect_exit(ATTACH_EXIT_STOPPED, "enough");
}

Test(hv_vmm, zap_is_answered_while_even_the_boot_waits, FIXTURE)
{
	manager.withhold_from = PAGE_SIZE;
	start(spin);
	await_stuck();
	cr_assert(test_manager_zap(&manager, 0, WITHHELD));
	test_manager_stop(&manager, false);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 60000));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_STOPPED);
	cr_assert_eq(test_manager_wait(&manager, 20000), 0);
}

Test(hv_vmm, nonsense_settings_are_refused_with_a_reason, FIXTURE)
{
	snprintf(manager.guest.workload, sizeof(manager.guest.workload), "dance");
	cr_assert_not(test_manager_start(&manager));
	cr_assert(manager.exited || test_manager_serve(&manager, ATTACH_EXIT, 60000));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_VMM);
	cr_assert(strstr(manager.exit.text, "dance"), "%s", manager.exit.text);
}

Test(hv_vmm, corrupt_image_is_refused, FIXTURE)
{
	SNIPPET_ELF(&elf, spin);
	elf.image.bytes--;
	manager.image = &elf.image;
	cr_assert_not(test_manager_start(&manager));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_VMM);
	cr_assert(strstr(manager.exit.text, "beyond the end of the file"));
}

/* The parts of a start: the process and its machine, then the first instructions. */
Test(hv_vmm, empty_guest_lives_for_milliseconds, FIXTURE)
{
	u64 began = clock_now_ns();
	u64 ended;

	start(leave);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 20000));
	ended = clock_now_ns();
	log_info("empty guest: %llu us to START, %llu us from START to EXIT, %llu faults",
		 (unsigned long long)((manager.started_at - began) / NSEC_PER_USEC),
		 (unsigned long long)((ended - manager.started_at) / NSEC_PER_USEC),
		 (unsigned long long)manager.faults);
	cr_assert_lt(ended - began, 20 * NSEC_PER_SEC);
}
