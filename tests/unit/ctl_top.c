/* SPDX-License-Identifier: Apache-2.0 */
/* What top makes of two answers: values, rates, order, CSV. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/top_detail.h"
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
		cr_expect_eq(fields, 4 + TOP_COLUMNS + TOP_SOURCES * TOP_PERCENTILES, "%s", line);
	}
	cr_expect_eq(lines, 4);
	free(text);
	top_free(&sample);
}

Test(ctl_top, csv_ends_with_percentiles_of_each_source)
{
	static const char text[] =
		"/name\th\n/vm/a/state\trunning\n"
		"/vm/a/fault/latency_hist/zero\tcount 9\n/vm/a/fault/latency_hist/zero\tp50_us 3\n"
		"/vm/a/fault/latency_hist/zero\tp99_us 40\n"
		"/vm/a/fault/latency_hist/resident\tcount 1\n"
		"/vm/a/fault/latency_hist/resident\tp50_us 77\n"
		"/vm/a/fault/latency_hist/disk\tcount 5\n/vm/a/fault/latency_hist/disk\tp50_us 120\n"
		"/vm/a/fault/latency_hist/disk\tp99_us 3000\n"
		"/vm/a/fault/latency_hist/disk\tp999_us 9999\n"
		"/vm/a/fault/latency_hist/shared\tcount 0\n";
	char *csv = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&csv, &length);
	struct top_sample sample;

	read_text(text, 1, NULL, &sample);
	top_csv_heading(out);
	top_csv(&sample, 1, out);
	fclose(out);
	cr_expect(strstr(csv, ",zero_p50_us,zero_p99_us,compressed_p50_us,compressed_p99_us,"
			      "disk_p50_us,disk_p99_us,shared_p50_us,shared_p99_us\n"),
		  "%s", csv);
	cr_expect(strstr(csv, ",,,,,,,,\n"), "the host has none: %s", csv);
	cr_expect(strstr(csv, ",3,40,0,0,120,3000,0,0\n"), "%s", csv);
	free(csv);
	top_free(&sample);
}

static const char told[] =
	"/policy/decisions\t0.100 high a: hold balloon 0 -> 0 MiB, goal 96: has no more than its goal\n"
	"/policy/decisions\t0.200 hard ab: inflate balloon 0 -> 9 MiB, goal 50: not about a\n"
	"/policy/decisions\t0.300 hard a (dry run): inflate balloon 0 -> 5 MiB, goal 57, swap 0: has "
	"more than its goal, and the host needs it (resident 60, stored 20, active 4, cold 1)\n"
	"/vm/a/state\trunning\n/vm/a/exit_text\t\n/vm/a/phase\tf\033[2Jll\n"
	"/vm/a/wss/age_hist\tbelow_s 1 8388608\n/vm/a/wss/age_hist\tbelow_s 2 0\n/vm/a/wss/age_hist\tbelow_s 4 1048576\n"
	"/vm/a/wss/age_hist\tmore 25165824\n"
	"/vm/a/fault/latency_hist/disk\tcount 3\n/vm/a/fault/latency_hist/disk\tbelow_ns 131072 3\n"
	"/vm/a/fault/latency_hist/zero\tbelow_ns 4096 17\n"
	"/vm/a/balloon/stats/free_memory\t1234\n/vm/ab/state\tok\n";

/* The page as one text; the caller frees. */
static char *page_text(const char *text, u32 columns)
{
	struct top_page page;
	char *all = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&all, &length);

	cr_assert_eq(top_detail(text, "a", columns, &page), 0);
	for (u32 i = 0; i < page.count; i++) {
		cr_expect_leq(strlen(page.lines[i]), columns, "%s", page.lines[i]);
		fprintf(out, "%s\n", page.lines[i]);
	}
	fclose(out);
	top_page_free(&page);
	return all;
}

Test(ctl_top, a_guest_is_shown_with_its_decisions_ages_latencies_and_attributes)
{
	static const u32 widths[] = {80, 100, 120, 200, 400};

	for (u32 i = 0; i < ARRAY_SIZE(widths); i++) {
		char *all = page_text(told, widths[i]);

		cr_expect(strstr(all, "0.100 high a: hold"));
		cr_expect(strstr(all, "0.300 hard a (dry run): inflate"));
		cr_expect(strstr(all, "cold 1)"), "a long decision is not cut");
		cr_expect_not(strstr(all, "not about a"));
		cr_expect(strstr(all, "< 1 s         8 ##"), "%s", all);
		cr_expect(strstr(all, "< 4 s         1 "), "%s", all);
		cr_expect(strstr(all, "more         24 #####"), "%s", all);
		cr_expect(strstr(all, "< 4.10us       17       0       0       0       0"), "%s",
			  all);
		cr_expect(strstr(all, "< 262us         0       0       0       0       3"), "%s",
			  all);
		cr_expect(strstr(all, "balloon/stats/free_memory 1234"));
		cr_expect(strstr(all, "f?[2Jll"), "a guest does not steer the terminal");
		free(all);
	}
}

Test(ctl_top, a_page_of_rubbish_is_short_and_harmless)
{
	static const char *const texts[] = {
		"",
		"\n\n",
		"/vm/a/",
		"/vm/a/\t",
		"/vm/a/wss/age_hist\tbelow_s\n",
		"/vm/a/wss/age_hist\tmore x\n",
		"/vm/a/fault/latency_hist/zero\tbelow_ns 0 0\n",
		"/vm/a/fault/latency_hist/\tbelow_ns 18446744073709551615 1\n",
		"/policy/decisions\t\n"};

	for (u32 i = 0; i < ARRAY_SIZE(texts); i++) {
		char *all = page_text(texts[i], 80);

		cr_expect(strstr(all, "none yet"));
		free(all);
	}
}

/* What is promised of 80 columns: name, state, and memory to stall. */
Test(ctl_top, the_first_columns_fit_80)
{
	int width = 12 + 1 + 8;

	for (u32 i = 0; i <= TOP_STALL; i++)
		width += top_columns[i].width;
	cr_expect_leq(width, 80);
}
