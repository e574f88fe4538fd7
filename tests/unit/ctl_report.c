/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a run: JSON that other programs can read, a table that fits, progress in place. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/progress.h"
#include "ctl/report.h"
#include "ctl/summary.h"
#include "lib/clock.h"
#include "mem/page.h"

static char *text;
static size_t text_size;

static FILE *open_text(void)
{
	FILE *stream = open_memstream(&text, &text_size);

	cr_assert_not_null(stream);
	return stream;
}

static void contains(const char *what)
{
	cr_expect_not_null(strstr(text, what), "lacks `%s':\n%s", what, text);
}

/* A run of guests that all ended well. */
static void make_outcome(struct outcome *outcome, u32 count)
{
	cr_assert_eq(outcome_init(outcome, count), 0);
	outcome->host = (struct host_snapshot){
		.budget_bytes = GiB,
		.slack_bytes = 64 * MiB,
		.guest_bytes = count * 512 * MiB,
		.used_bytes = 900 * MiB,
		.peak_used_bytes = 1000 * MiB,
		.peak_kernel_bytes = 1010 * MiB,
		.duration_ns = 42 * NSEC_PER_SEC,
		.pool_bytes = 200 * MiB,
		.compressed_in_bytes = 210,
		.compressed_out_bytes = 100,
	};
	for (u32 i = 0; i < count; i++) {
		struct guest_snapshot *guest = &outcome->guests[i];

		snprintf(guest->name, sizeof(guest->name), "web-%u", i);
		strcpy(guest->workload, "kv");
		strcpy(guest->phase, "done");
		guest->life = GUEST_LIFE_ENDED;
		guest->exit_code = ATTACH_EXIT_OK;
		guest->accel = ATTACH_ACCEL_KVM;
		guest->memory_bytes = 512 * MiB;
		guest->run_ns = 10 * NSEC_PER_SEC;
		guest->ops = 12345;
		guest->pages_verified = 1000;
		guest->stall_ns = 3 * NSEC_PER_MSEC;
		guest->faults_minor = 7;
		guest->pages[PAGE_DISK] = 512;
		hist_record(&guest->latency, 1500);
	}
}

Test(ctl_json, nests_and_separates)
{
	struct json json;
	FILE *stream = open_text();

	json_init(&json, stream);
	json_open(&json, NULL, '{');
	json_number(&json, "a", UINT64_MAX);
	json_open(&json, "b", '[');
	json_bool(&json, NULL, true);
	json_open(&json, NULL, '{');
	json_close(&json);
	json_close(&json);
	json_real(&json, "c", 0.0 / 0.0);
	json_close(&json);
	fclose(stream);
	cr_expect_str_eq(text,
			 "{\n  \"a\": 18446744073709551615,\n  \"b\": [\n    true,\n    {}\n  ],\n"
			 "  \"c\": 0.000\n}\n");
	free(text);
}

Test(ctl_json, escapes_what_a_string_must_not_hold)
{
	struct json json;
	FILE *stream = open_text();

	json_init(&json, stream);
	json_string(&json, NULL, "a\"b\\c\n\x1b\xff~");
	fclose(stream);
	cr_expect_str_eq(text, "\"a\\\"b\\\\c\\u000a\\u001b\\u00ff~\"");
	free(text);
}

Test(ctl_report, other_programs_find_every_promised_name)
{
	static const char check[] =
		"jq -e '.budget_bytes == 1073741824 and .guest_bytes == 1073741824 and "
		".peak_used_bytes == 1048576000 and .peak_kernel_bytes == 1059061760 and "
		".duration_s == 42 and .ok == true and "
		"([.guests[].name] == [\"web-0\", \"web-1\"]) and (.guests[0] | "
		".memory_bytes == 536870912 and .workload == \"kv\" and .ops == 12345 and "
		".ops_per_s == 1234.5 and .latency_us.p50 > 1 and .latency_us.p99 < 2 and "
		".latency_us.p999 < 2 and .pages_verified == 1000 and .verify_failures == 0 and "
		".exit == \"ok\" and .stall_us == 3000 and .faults == "
		"{missing: 0, minor: 7, wp: 0} and .mem == {resident: 0, zero: 0, same_filled: 0, "
		"compressed: 0, disk: 512, ballooned: 0, shared: 0}) and (.swap | "
		"has(\"stored_pages\", \"same_filled_pages\", \"dedup_hits\", "
		"\"hash_collisions\", \"shared_blobs\", \"shared_pages\", \"shared_disk_pages\", "
		"\"shared_saved_bytes\", \"shared_peak_saved_bytes\", \"pool_bytes\", \"written_bytes\", "
		"\"read_bytes\", \"io_errors\") and .compression_ratio == 2.1)' %s >/dev/null";
	char path[] = "/tmp/ballast-report-XXXXXX", command[1500];
	int fd = mkstemp(path);
	struct outcome outcome;

	cr_assert_geq(fd, 0);
	close(fd);
	make_outcome(&outcome, 2);
	cr_expect_eq(report_save(path, &outcome), 0);
	snprintf(command, sizeof(command), check, path);
	cr_expect_eq(system(command), 0);
	unlink(path);
	outcome_free(&outcome);
}

Test(ctl_report, an_impossible_path_is_an_error)
{
	struct outcome outcome;

	make_outcome(&outcome, 1);
	cr_expect_eq(report_save("/nonexistent/report.json", &outcome), -ENOENT);
	outcome_free(&outcome);
}

Test(ctl_outcome, one_bad_guest_makes_a_bad_run)
{
	struct outcome outcome;

	make_outcome(&outcome, 3);
	cr_expect(outcome_ok(&outcome));
	outcome.guests[1].verify_failures = 1;
	cr_expect(!outcome_ok(&outcome), "a page read wrong");
	outcome.guests[1].verify_failures = 0;
	outcome.guests[1].exit_code = ATTACH_EXIT_CRASH;
	cr_expect(!outcome_ok(&outcome), "a crash");
	outcome.guests[1].exit_code = ATTACH_EXIT_OK;
	outcome.guests[1].life = GUEST_LIFE_RUNNING;
	cr_expect(!outcome_ok(&outcome), "a guest that never ended");
	outcome_free(&outcome);
}

/* The longest line, in characters. */
static size_t widest(const char *lines)
{
	size_t most = 0, length;

	for (; *lines; lines += length + (lines[length] == '\n')) {
		length = strcspn(lines, "\n");
		most = MAX(most, length);
	}
	return most;
}

Test(ctl_summary, a_table_fits_120_columns)
{
	struct outcome outcome;
	FILE *stream = open_text();

	make_outcome(&outcome, 3);
	memset(outcome.guests[0].name, 'x', sizeof(outcome.guests[0].name) - 1);
	outcome.guests[0].ops = outcome.guests[0].pages_verified = UINT64_MAX;
	outcome.guests[0].stall_ns = 99999 * NSEC_PER_SEC;
	outcome.guests[1].exit_code = ATTACH_EXIT_STOPPED;
	outcome.guests[1].accel = ATTACH_ACCEL_THREAD;
	summary_write(stream, &outcome);
	fclose(stream);
	cr_expect_leq(widest(text), 120, "%s", text);
	contains("512M");
	free(text);
	outcome_free(&outcome);
}

Test(ctl_summary, of_many_guests_those_that_failed_are_listed)
{
	struct outcome outcome;
	FILE *stream = open_text();

	make_outcome(&outcome, 100);
	outcome.guests[77].exit_code = ATTACH_EXIT_CRASH;
	strcpy(outcome.guests[77].exit_text, "triple fault\033[2J");
	summary_write(stream, &outcome);
	summary_verdict(stream, &outcome);
	fclose(stream);
	contains("web-77");
	contains("... and 75 more that ended well");
	contains("triple fault?[2J");
	contains("FAILED: 1 of 100 guests\n");
	free(text);
	outcome_free(&outcome);
}

Test(ctl_summary, a_good_run_ends_in_ok)
{
	struct outcome outcome;
	FILE *stream = open_text();

	make_outcome(&outcome, 2);
	summary_verdict(stream, &outcome);
	fclose(stream);
	cr_expect_str_eq(text,
			 "OK: 2 guests on KVM read 2.00k pages in 00:42, every one as written\n");
	free(text);
	outcome_free(&outcome);
}

/* Shows the outcome at 1 s steps for ten seconds. */
static void show_ten_seconds(struct outcome *outcome, enum progress_style style)
{
	struct guest_config *guests = calloc(outcome->count, sizeof(*guests));
	struct host_config config = {.name = "rack", .guests = guests};
	struct progress *progress;
	FILE *stream = open_text();

	config.guest_count = outcome->count;
	for (u32 i = 0; i < outcome->count; i++)
		guests[i].vcpus = 1;
	cr_assert_eq(progress_create(stream, style, &config, &progress), 0);
	for (u64 second = 100; second <= 110; second++) {
		outcome->guests[0].ops += 1000;
		progress_show(progress, outcome, second * NSEC_PER_SEC);
	}
	progress_destroy(progress);
	fclose(stream);
	free(guests);
}

Test(ctl_progress, a_log_file_gets_a_plain_line_every_five_seconds)
{
	struct outcome outcome;

	make_outcome(&outcome, 3);
	outcome.guests[0].life = GUEST_LIFE_RUNNING;
	outcome.guests[0].progress = 570;
	strcpy(outcome.guests[0].phase, "fill");
	show_ten_seconds(&outcome, PROGRESS_LINES);
	cr_expect_null(strchr(text, '\033'));
	cr_expect_eq(strncmp(text, "00:05  ", 7), 0, "%s", text);
	contains("\n00:10  ");
	contains("900 MiB of 1.0 GiB used");
	contains(": 1 fill 57%, 2 ok\n");
	free(text);
	outcome_free(&outcome);
}

Test(ctl_progress, a_terminal_gets_a_block_that_fits_it)
{
	struct outcome outcome;
	u32 lines = 0;

	make_outcome(&outcome, 64);
	outcome.guests[63].life = GUEST_LIFE_RUNNING;
	strcpy(outcome.guests[63].phase, "run\033[2J");
	show_ten_seconds(&outcome, PROGRESS_BLOCK);
	contains("web-63");
	contains("run?[2J");
	contains("more; 1 of 64 still running");
	for (char *at = text; *at && strncmp(at, "\033[J", 3) != 0; at++)
		lines += *at == '\n';
	cr_expect_leq(lines, 23, "a line of 24 is left for the cursor");
	contains("\033[J\033[23A");
	free(text);
	outcome_free(&outcome);
}

Test(ctl_progress, quiet_is_quiet)
{
	struct outcome outcome;

	make_outcome(&outcome, 2);
	show_ten_seconds(&outcome, PROGRESS_NONE);
	cr_expect_eq(text_size, 0);
	free(text);
	outcome_free(&outcome);
}
