/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as they are shown: right, and never wider than their column. */
#include <criterion/criterion.h>
#include <string.h>

#include "ctl/format.h"
#include "lib/clock.h"

Test(ctl_format, sizes)
{
	cr_expect_str_eq(format_size(0).text, "0 B");
	cr_expect_str_eq(format_size(1023).text, "1023 B");
	cr_expect_str_eq(format_size(512 * MiB).text, "512 MiB");
	cr_expect_str_eq(format_size(1536 * MiB).text, "1.5 GiB");
	cr_expect_str_eq(format_size(GiB - 1).text, "1.0 GiB",
			 "rounding moves on to the next unit");
	cr_expect_str_eq(format_size(UINT64_MAX).text, "16 EiB");
}

Test(ctl_format, exact_sizes_lose_nothing)
{
	cr_expect_str_eq(format_size_exact(0).text, "0");
	cr_expect_str_eq(format_size_exact(1000).text, "1000");
	cr_expect_str_eq(format_size_exact(GiB).text, "1G");
	cr_expect_str_eq(format_size_exact(1536 * MiB).text, "1536M");
}

Test(ctl_format, counts_fit_five_characters)
{
	cr_expect_str_eq(format_count(0).text, "0");
	cr_expect_str_eq(format_count(999).text, "999");
	cr_expect_str_eq(format_count(1000).text, "1.00k");
	cr_expect_str_eq(format_count(12345).text, "12.3k");
	cr_expect_str_eq(format_count(999499).text, "999k");
	cr_expect_str_eq(format_count(999500).text, "1.00M");
	for (u64 n = 1; n < UINT64_MAX / 3; n *= 3)
		cr_expect_leq(strlen(format_count(n).text), 5, "%lu", n);
	cr_expect_leq(strlen(format_count(UINT64_MAX).text), 5);
}

Test(ctl_format, latencies_fit_six_characters)
{
	cr_expect_str_eq(format_latency(0).text, "-");
	cr_expect_str_eq(format_latency(850).text, "850ns");
	cr_expect_str_eq(format_latency(12300).text, "12.3us");
	cr_expect_str_eq(format_latency(999999).text, "1.00ms");
	cr_expect_str_eq(format_latency(35 * NSEC_PER_SEC).text, "35.0s");
	for (u64 ns = 1; ns < 90000 * NSEC_PER_SEC; ns = ns * 5 / 3 + 1)
		cr_expect_leq(strlen(format_latency(ns).text), 6, "%lu", ns);
}

Test(ctl_format, clocks)
{
	cr_expect_str_eq(format_clock(0).text, "00:00");
	cr_expect_str_eq(format_clock(245 * NSEC_PER_SEC).text, "04:05");
	cr_expect_str_eq(format_clock(3845 * NSEC_PER_SEC).text, "1:04:05");
}

Test(ctl_format, percentages_reach_100_only_when_all_is_there)
{
	cr_expect_eq(format_percent(999, 1000), 99);
	cr_expect_eq(format_percent(1000, 1000), 100);
	cr_expect_eq(format_percent(1, 0), 0);
}

Test(ctl_format, bars_are_filled_in_proportion)
{
	static const struct bar_part parts[] = {{40, '#'}, {20, '+'}};
	char bar[11];

	format_bar(bar, 10, 100, parts, ARRAY_SIZE(parts));
	cr_expect_str_eq(bar, "####++    ");
	format_bar(bar, 10, 60, parts, ARRAY_SIZE(parts));
	cr_expect_str_eq(bar, "#######+++");
}

Test(ctl_format, bars_never_overflow)
{
	static const struct bar_part parts[] = {{UINT64_MAX, '#'}, {UINT64_MAX, '+'}};
	char bar[5];

	format_bar(bar, 4, 1, parts, ARRAY_SIZE(parts));
	cr_expect_str_eq(bar, "####");
	format_bar(bar, 4, 0, parts, ARRAY_SIZE(parts));
	cr_expect_str_eq(bar, "    ");
}
