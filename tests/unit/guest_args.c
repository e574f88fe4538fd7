// SPDX-License-Identifier: Apache-2.0
/* Workload arguments as users write them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "guest-driver/args.h"

static enum guest_workload kind;
static struct guest_args args;
static char error[256];

static int parse(const char *workload, const char *text)
{
	error[0] = '\0';
	return guest_args_parse(workload, text, &kind, &args, error, sizeof(error));
}

static void expect_error(const char *workload, const char *text, const char *part)
{
	cr_expect_eq(parse(workload, text), -EINVAL, "%s", text);
	cr_expect(strstr(error, part), "'%s' lacks '%s'", error, part);
}

Test(guest_args, every_workload_has_defaults_that_run)
{
	for (u32 i = 0; i < GUEST_WORKLOADS; i++) {
		cr_assert_eq(parse(guest_workload_name(i), NULL), 0);
		cr_expect_eq(kind, i);
		cr_expect_gt(args.fill_percent, 0);
		cr_expect_eq(args.verify_end, 1);
		cr_expect_eq(args.ops, 0);
		cr_expect_leq(args.zero_percent + args.same_percent + args.random_percent, 100);
	}
}

Test(guest_args, what_guests_have_in_common_is_read)
{
	cr_assert_eq(parse("fill", "common=40% fill-time=20s rewrite=1500us"), 0, "%s", error);
	cr_expect_eq(args.common_percent, 40);
	cr_expect_eq(args.fill_ms, 20000);
	cr_expect_eq(args.rewrite_ms, 2);
}

Test(guest_args, a_full_line_is_read)
{
	cr_assert_eq(parse("kv", "fill=70% write=7 zero=1% same=2%,random=3%\ttheta=0.5 value=2K "
				 "think=50us ops=100K verify=no"),
		     0, "%s", error);
	cr_expect_eq(args.fill_percent, 70);
	cr_expect_eq(args.write_percent, 7);
	cr_expect_eq(args.zero_percent, 1);
	cr_expect_eq(args.same_percent, 2);
	cr_expect_eq(args.random_percent, 3);
	cr_expect_eq(args.theta_permille, 500);
	cr_expect_eq(args.value_bytes, 2048);
	cr_expect_eq(args.think_us, 50);
	cr_expect_eq(args.ops, 100000);
	cr_expect_eq(args.verify_end, 0);
}

Test(guest_args, beginning_together_and_holding)
{
	cr_assert_eq(parse("fill", "begin=together after=hold"), 0, "%s", error);
	cr_expect(args.together && args.hold);
	cr_assert_eq(parse("fill", "begin=filled after=end"), 0, "%s", error);
	cr_expect(!args.together && !args.hold);
	expect_error("fill", "begin=now", "filled or together");
	cr_assert_eq(parse("phase", "phase-ops=10K"), 0, "%s", error);
	cr_expect_eq(args.phase_ops, 10000);
}

Test(guest_args, times_and_sizes_of_phases)
{
	cr_assert_eq(parse("phase", "phase=1500ms phase-size=10%"), 0, "%s", error);
	cr_expect_eq(args.phase_ms, 1500);
	cr_expect_eq(args.phase_percent, 10);
}

Test(guest_args, poison_may_be_any_word_or_none)
{
	parse("fill", "poison=4294967295");
	cr_expect(args.poisons);
	cr_expect_eq(args.poison, UINT32_MAX);
	parse("fill", "poison=0");
	cr_expect(args.poisons);
	cr_expect_eq(args.poison, 0);
	parse("fill", "poison=no");
	cr_expect_not(args.poisons);
	parse("fill", "");
	cr_expect_not(args.poisons);
}

Test(guest_args, mixes_are_those_of_ycsb)
{
	parse("kv", "mix=A");
	cr_expect_eq(args.write_percent, 50);
	parse("kv", "mix=B");
	cr_expect_eq(args.write_percent, 5);
	parse("kv", "mix=C");
	cr_expect_eq(args.write_percent, 0);
}

Test(guest_args, write_wins_over_mix_in_either_order)
{
	cr_assert_eq(parse("kv", "mix=A write=7%"), 0);
	cr_expect_eq(args.write_percent, 7);
	cr_assert_eq(parse("kv", "write=7% mix=A"), 0);
	cr_expect_eq(args.write_percent, 7);
}

Test(guest_args, theta_takes_up_to_three_digits)
{
	cr_assert_eq(parse("kv", "theta=0"), 0);
	cr_expect_eq(args.theta_permille, 0);
	cr_assert_eq(parse("kv", "theta=0.9"), 0);
	cr_expect_eq(args.theta_permille, 900);
	cr_assert_eq(parse("kv", "theta=0.999"), 0);
	cr_expect_eq(args.theta_permille, 999);
}

Test(guest_args, errors_say_what_is_wrong)
{
	expect_error("web", "", "there are fill, kv");
	expect_error("fill", "size=3", "no argument 'size' (it has: fill, write");
	expect_error("sweep", "theta=0.5", "workload sweep has no argument 'theta'");
	expect_error("fill", "fill", "has no value");
	expect_error("fill", "fill=0%", "1% .. 100%");
	expect_error("fill", "fill=101%", "1% .. 100%");
	expect_error("fill", "fill=-1", "expected");
	expect_error("fill", "fill=8O%", "expected");
	expect_error("fill", "fill=10 fill=20", "given twice");
	expect_error("fill", "zero=60 same=30 random=20", "add up to 110%");
	expect_error("fill", "ops=99999999999999999999", "expected");
	expect_error("fill", "ops=20000000000G", "expected");
	expect_error("fill", "think=2s", "0 .. 1s");
	expect_error("fill", "think=5", "0 .. 1s");
	expect_error("fill", "verify=maybe", "end or no");
	expect_error("kv", "mix=D", "A, B or C");
	expect_error("kv", "theta=1", "0 .. 0.999");
	expect_error("kv", "theta=0.1234", "0 .. 0.999");
	expect_error("kv", "theta=0.", "0 .. 0.999");
	expect_error("kv", "value=65K", "32 .. 64K");
	expect_error("phase", "phase=1ms", "10ms .. 1h");
}

Test(guest_args, an_endless_word_is_refused)
{
	char text[300];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_error("fill", text, "longer than any");
}
