/* SPDX-License-Identifier: Apache-2.0 */
/* The values people write in configuration files and on command lines. */
#include <criterion/criterion.h>
#include <errno.h>

#include "ctl/parse.h"

static u64 size_of(const char *text)
{
	u64 bytes = 0;

	cr_assert_eq(parse_size(text, &bytes), 0, "%s", text);
	return bytes;
}

Test(ctl_parse, sizes_take_binary_units)
{
	cr_expect_eq(size_of("4096"), 4096);
	cr_expect_eq(size_of("8K"), 8 * KiB);
	cr_expect_eq(size_of("512M"), 512 * MiB);
	cr_expect_eq(size_of("2g"), 2 * GiB);
	cr_expect_eq(size_of("1T"), 1024 * GiB);
	cr_expect_eq(size_of("1GiB"), GiB);
	cr_expect_eq(size_of("1.5G"), 1536 * MiB);
	cr_expect_eq(size_of("0.25M"), 256 * KiB);
}

Test(ctl_parse, sizes_refuse_what_is_not_a_size)
{
	static const char *const bad[] = {"",	 "M",	"-1",	  "1X",	  "1 M", "1MB", "0x10",
					  "1.M", "1.5", "1.2.3M", "1Mi!", ".5G", " 1M", "1e9"};
	u64 bytes = 7;

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(parse_size(bad[i], &bytes), -EINVAL, "%s", bad[i]);
	cr_expect_eq(bytes, 7, "an error leaves the value alone");
}

Test(ctl_parse, sizes_do_not_wrap_around)
{
	u64 bytes;

	cr_expect_eq(size_of("16777215T"), 16777215UL << 40);
	cr_expect_eq(parse_size("16777216T", &bytes), -ERANGE);
	cr_expect_eq(parse_size("18446744073709551616", &bytes), -ERANGE);
	cr_expect_eq(parse_size("99999999999999999999999G", &bytes), -ERANGE);
}

Test(ctl_parse, numbers_are_decimal_digits)
{
	u64 number;

	cr_expect_eq(parse_number("18446744073709551615", &number), 0);
	cr_expect_eq(number, UINT64_MAX);
	cr_expect_eq(parse_number("+1", &number), -EINVAL);
	cr_expect_eq(parse_number("1k", &number), -EINVAL);
	cr_expect_eq(parse_number("", &number), -EINVAL);
}

Test(ctl_parse, percentages_may_have_a_sign)
{
	u64 percent;

	cr_expect_eq(parse_percent("20", &percent), 0);
	cr_expect_eq(percent, 20);
	cr_expect_eq(parse_percent("35%", &percent), 0);
	cr_expect_eq(percent, 35);
	cr_expect_eq(parse_percent("35%%", &percent), -EINVAL);
	cr_expect_eq(parse_percent("%", &percent), -EINVAL);
}

Test(ctl_parse, durations_are_seconds)
{
	u64 seconds;

	cr_expect_eq(parse_duration("90", &seconds), 0);
	cr_expect_eq(seconds, 90);
	cr_expect_eq(parse_duration("10s", &seconds), 0);
	cr_expect_eq(seconds, 10);
	cr_expect_eq(parse_duration("5m", &seconds), 0);
	cr_expect_eq(seconds, 300);
	cr_expect_eq(parse_duration("2h", &seconds), 0);
	cr_expect_eq(seconds, 7200);
	cr_expect_eq(parse_duration("5ms", &seconds), -EINVAL);
	cr_expect_eq(parse_duration("18446744073709551615h", &seconds), -ERANGE);
}

Test(ctl_parse, yes_and_no_have_synonyms)
{
	bool value = false;

	cr_expect_eq(parse_yes_no("yes", &value), 0);
	cr_expect(value);
	cr_expect_eq(parse_yes_no("OFF", &value), 0);
	cr_expect(!value);
	cr_expect_eq(parse_yes_no("1", &value), -EINVAL);
}
