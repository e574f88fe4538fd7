// SPDX-License-Identifier: Apache-2.0
/* Lines the guest prints, and the panics that are nothing but a line. */
#include <criterion/criterion.h>
#include <string.h>

#include "guest-driver/line.h"
#include "guest-driver/guest.h"
#include "guest_rig.h"

static char printed[LINE_MAX_BYTES + 1];

static void keep(struct guest_cpu *cpu, const char *text, size_t length)
{
	(void)cpu;
	memcpy(printed, text, length);
	printed[length] = '\0';
}

static const struct guest_platform keeper = {.console = keep};

Test(guest_line, numbers_and_addresses_are_whole)
{
	struct guest_cpu cpu = {.platform = &keeper, .index = 3};
	struct line line;

	line_begin(&line, &cpu);
	line_number(&line, 0);
	line_text(&line, " ");
	line_number(&line, UINT64_MAX);
	line_text(&line, " ");
	line_address(&line, 0xdeadbeef000);
	line_write(&line, &cpu);
	cr_expect_str_eq(printed, "vcpu 3: 0 18446744073709551615 0xdeadbeef000\n");
}

Test(guest_line, a_long_line_is_cut_and_still_ends)
{
	struct guest_cpu cpu = {.platform = &keeper};
	struct line line;

	line_begin(&line, &cpu);
	for (u32 i = 0; i < 100; i++)
		line_text(&line, "abc");
	line_write(&line, &cpu);
	cr_expect_eq(strlen(printed), LINE_MAX_BYTES);
	cr_expect_eq(printed[LINE_MAX_BYTES - 1], '\n');
}

static void expect_panic(struct guest_rig *rig, const char *part)
{
	cr_expect_eq(rig_run(rig), GUEST_EXIT_PANIC);
	cr_expect(strstr(rig->text, "vcpu 0: panic: "), "%s", rig->text);
	cr_expect(strstr(rig->text, part), "'%s' lacks '%s'", rig->text, part);
	rig_end(rig);
}

Test(guest_line, a_foreign_boot_page_is_a_panic)
{
	struct guest_rig rig;

	rig_start(&rig, 8 * MiB, 1, "fill", "", NULL, 0);
	rig.boot->version++;
	expect_panic(&rig, "ABI version");
}

Test(guest_line, no_clock_is_a_panic)
{
	struct guest_rig rig;

	rig_start(&rig, 8 * MiB, 1, "fill", "", NULL, 0);
	rig.boot->tsc_khz = 0;
	expect_panic(&rig, "TSC");
}

Test(guest_line, too_little_memory_is_a_panic)
{
	struct guest_rig rig;

	rig_start(&rig, GUEST_LOW_BYTES + 64 * KiB, 1, "kv", "", NULL, 0);
	expect_panic(&rig, "too little memory");
}
