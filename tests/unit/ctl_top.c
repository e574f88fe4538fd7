/* SPDX-License-Identifier: Apache-2.0 */
/* What top makes of two answers: values, rates, order, CSV. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/top_sample.h"
#include "lib/clock.h"

static const char first[] = "/name\ttested\n/memory_now\t1048576\n/used\t524288\n"
			    "/pressure\tsome avg10=1.50 avg60=0.00 avg300=0.00 total=7\n"
			    "/pressure\tfull avg10=0.25 avg60=0.00 avg300=0.00 total=3\n"
			    "/vm/a/state\trunning\n/vm/a/phase\tfill\n/vm/a/config/vcpus\t2\n"
			    "/vm/a/ops\t100\n/vm/a/fault/missing\t10\n/vm/a/fault/minor\t5\n"
			    "/vm/a/fault/stall_us\t0\n"
			    "/vm/a/fault/latency_hist/disk\tcount 4\n"
			    "/vm/a/fault/latency_hist/disk\tsum_us 4000\n"
			    "/vm/b/state\tok\n/vm/b/phase\tdone\n/vm/b/ops\t7\n";
static const char second[] = "/vm/a/config/vcpus\t2\n/vm/a/ops\t300\n/vm/a/fault/missing\t20\n"
			     "/vm/a/fault/minor\t25\n/vm/a/fault/stall_us\t1000000\n"
			     "/vm/a/fault/latency_hist/disk\tcount 14\n"
			     "/vm/b/ops\t3\n/vm/c/ops\t900\n";

static void read_text(const char *text, u64 when_ns, const struct top_sample *before,
		      struct top_sample *sample)
{
	char *copy = strdup(text);

	cr_assert_eq(top_read(copy, when_ns, before, sample), 0);
	free(copy);
}

Test(ctl_top, values_are_those_of_the_first_line)
{
	struct top_sample sample;

	read_text(first, 1, NULL, &sample);
	cr_expect_str_eq(sample.host.name, "tested");
	cr_expect_eq(sample.host.used, 524288);
	cr_expect_eq(sample.total.values[TOP_SOME], 1.5);
	cr_expect(strstr(sample.host.pressure[1], "full avg10=0.25"));
	cr_assert_eq(sample.count, 2);
	cr_expect_str_eq(sample.guests[0].state, "fill");
	cr_expect_str_eq(sample.guests[1].state, "ok");
	cr_expect_eq(sample.guests[0].values[TOP_OPS], 0);
	top_free(&sample);
}

Test(ctl_top, rates_are_changes_a_second)
{
	struct top_sample before, sample;

	read_text(first, NSEC_PER_SEC, NULL, &before);
	read_text(second, 3 * NSEC_PER_SEC, &before, &sample);
	cr_assert_eq(sample.count, 3);
	cr_expect_eq(sample.guests[0].values[TOP_OPS], 100);
	cr_expect_eq(sample.guests[0].values[TOP_FAULTS], 15);
	cr_expect_eq(sample.guests[0].values[TOP_FROM_DISK], 5);
	cr_expect_float_eq(sample.guests[0].values[TOP_STALL], 25, 0.001);
	/* A counter that went back (another guest of that name) and one that is new: no rate yet. */
	cr_expect_eq(sample.guests[1].values[TOP_OPS], 0);
	cr_expect_eq(sample.guests[2].values[TOP_OPS], 0);
	cr_expect_eq(sample.total.values[TOP_OPS], 100);
	top_free(&before);
	top_free(&sample);
}

Test(ctl_top, rows_are_sorted_either_way)
{
	struct top_sample before, sample;

	read_text(first, NSEC_PER_SEC, NULL, &before);
	read_text(second, 3 * NSEC_PER_SEC, &before, &sample);
	top_sort(&sample, TOP_OPS, true);
	cr_expect_str_eq(sample.guests[0].name, "b");
	cr_expect_str_eq(sample.guests[2].name, "a");
	top_sort(&sample, TOP_OPS, false);
	cr_expect_str_eq(sample.guests[0].name, "a");
	top_free(&before);
	top_free(&sample);
}

Test(ctl_top, rubbish_makes_no_rows_and_no_crash)
{
	static const char *const texts[] = {"",		  "\n",	      "x",
					    "/vm/",	  "/vm/a",    "/vm/a\t",
					    "/vm//\t1\n", "\t\t\t\n", "/pressure\t\n/pressure\t\n"};
	struct top_sample sample;

	for (u32 i = 0; i < ARRAY_SIZE(texts); i++) {
		read_text(texts[i], 1, NULL, &sample);
		cr_expect_leq(sample.count, 1);
		top_free(&sample);
	}
}

Test(ctl_top, every_line_of_csv_has_as_many_fields_as_its_heading)
{
	char *text = NULL, *line, *rest;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	struct top_sample sample;
	u32 lines = 0;

	read_text(first, 1, NULL, &sample);
	top_csv_heading(out);
	top_csv(&sample, 1.5, out);
	fclose(out);
	for (rest = text; (line = strsep(&rest, "\n")) && *line; lines++) {
		u32 fields = 1;

		for (const char *c = line; *c; c++)
			fields += *c == ',';
		cr_expect_eq(fields, 4 + TOP_COLUMNS, "%s", line);
	}
	cr_expect_eq(lines, 4);
	free(text);
	top_free(&sample);
}
