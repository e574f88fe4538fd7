/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/summary.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/format.h"
#include "lib/clock.h"
#include "mem/page.h"

#define ROWS_MAX 24

/* A row of the table: a guest, or the sum of all. */
struct row {
	char name[ATTACH_NAME_MAX];
	const char *workload, *accel, *exit;
	u64 memory_bytes, ops, pages_verified, verify_failures, stall_ns, faults;
	double rate;
	u64 resident, compressed, disk; /* pages */
	struct hist latency;
};

static void row_from_guest(struct row *row, const struct guest_snapshot *guest)
{
	*row = (struct row){
		.workload = guest->workload,
		.accel = outcome_accel_name(guest->accel),
		.exit = outcome_exit_name(guest),
		.memory_bytes = guest->memory_bytes,
		.ops = guest->ops,
		.pages_verified = guest->pages_verified,
		.verify_failures = guest->verify_failures,
		.stall_ns = guest->stall_ns,
		.faults = outcome_guest_faults(guest),
		.rate = outcome_guest_rate(guest),
		.resident = guest->pages[PAGE_RESIDENT] + guest->pages[PAGE_SHARED],
		.compressed = guest->pages[PAGE_COMPRESSED],
		.disk = guest->pages[PAGE_DISK],
		.latency = guest->latency,
	};
	memcpy(row->name, guest->name, sizeof(row->name));
}

static void row_add(struct row *sum, const struct row *row)
{
	sum->memory_bytes += row->memory_bytes;
	sum->ops += row->ops;
	sum->pages_verified += row->pages_verified;
	sum->verify_failures += row->verify_failures;
	sum->stall_ns += row->stall_ns;
	sum->faults += row->faults;
	sum->rate += row->rate;
	sum->resident += row->resident;
	sum->compressed += row->compressed;
	sum->disk += row->disk;
	hist_merge(&sum->latency, &row->latency);
}

/* Groups of columns, two blanks apart; 120 characters with the longest word for an exit. */
static void write_heading(FILE *out)
{
	fprintf(out, "%31s  %11s  %20s  %10s  %12s  %17s\n", "", "operations", "latency of each",
		"pages read", "memory waits", "MiB at the end");
	fprintf(out,
		"%-12s %-5s %-6s %5s  %5s %5s  %6s %6s %6s  %5s %4s  %6s %5s  %5s %5s %5s  %s\n",
		"guest", "load", "accel", "size", "total", "per s", "p50", "p99", "p99.9", "right",
		"bad", "time", "count", "ram", "zip", "disk", "exit");
}

static u64 pages_mib(u64 pages)
{
	return pages * PAGE_SIZE / MiB;
}

static void write_row(FILE *out, const struct row *row)
{
	fprintf(out, "%-12.12s %-5.5s %-6s %5s  %5s %5s  ", row->name, row->workload, row->accel,
		format_size_exact(row->memory_bytes).text, format_count(row->ops).text,
		format_count((u64)row->rate).text);
	fprintf(out, "%6s %6s %6s  ", format_latency(hist_percentile(&row->latency, 500)).text,
		format_latency(hist_percentile(&row->latency, 990)).text,
		format_latency(hist_percentile(&row->latency, 999)).text);
	fprintf(out, "%5s %4s  %6s %5s  ", format_count(row->pages_verified).text,
		format_count(row->verify_failures).text, format_latency(row->stall_ns).text,
		format_count(row->faults).text);
	fprintf(out, "%5" PRIu64 " %5" PRIu64 " %5" PRIu64 "%s%s\n", pages_mib(row->resident),
		pages_mib(row->compressed), pages_mib(row->disk), *row->exit ? "  " : "",
		row->exit);
}

/* Failed guests always, the others as long as there is room. */
static u32 write_rows(FILE *out, const struct outcome *outcome, struct row *sum)
{
	u32 written = 0;
	struct row row;

	for (u32 i = 0; i < outcome->count; i++) {
		row_from_guest(&row, &outcome->guests[i]);
		row_add(sum, &row);
		if (written >= ROWS_MAX && outcome_guest_ok(&outcome->guests[i]))
			continue;
		write_row(out, &row);
		written++;
	}
	return written;
}

static void write_guests(FILE *out, const struct outcome *outcome)
{
	struct row sum = {.name = "all", .workload = "", .accel = "", .exit = ""};
	u32 written;

	write_heading(out);
	written = write_rows(out, outcome, &sum);
	if (written < outcome->count)
		fprintf(out, "... and %u more that ended well: --report has them all\n",
			outcome->count - written);
	if (outcome->count > 1)
		write_row(out, &sum);
}

static void write_host(FILE *out, const struct outcome *outcome)
{
	const struct host_snapshot *host = &outcome->host;

	fprintf(out, "\nbudget       %s for %s of guest memory: %.2fx\n",
		format_size(host->budget_bytes).text, format_size(host->guest_bytes).text,
		host->budget_bytes ? (double)host->guest_bytes / (double)host->budget_bytes : 0);
	fprintf(out, "peak used    %s", format_size(host->peak_used_bytes).text);
	/* What must be charged may overdraw it by a little. */
	if (host->peak_used_bytes <= host->budget_bytes + host->budget_bytes / 100)
		fprintf(out, ", %u%% of the budget",
			format_percent(host->peak_used_bytes, host->budget_bytes));
	else
		fprintf(out, ", before the budget was made smaller");
	if (host->peak_kernel_bytes)
		fprintf(out, "; the kernel counted %s, and would allow %s",
			format_size(host->peak_kernel_bytes).text,
			format_size(host->budget_bytes + host->slack_bytes).text);
	fprintf(out, "\ncompressed   %s into %s: %.2fx; %s pages stored, %s same-filled\n",
		format_size(host->compressed_in_bytes).text,
		format_size(host->compressed_out_bytes).text, outcome_ratio(outcome),
		format_count(host->stored_pages).text, format_count(host->same_filled_pages).text);
	if (host->dedup_hits)
		fprintf(out, "duplicates   %s pages were stored already; %s saved at the most\n",
			format_count(host->dedup_hits).text,
			format_size(host->shared_peak_saved_bytes).text);
	fprintf(out, "swap file    %s written, %s read, %" PRIu64 " I/O errors\n",
		format_size(host->written_bytes).text, format_size(host->read_bytes).text,
		host->io_errors);
	fprintf(out, "reclaim      %s in a fault; %s evictions given up for a guest's touch\n",
		format_count(host->direct_reclaims).text, format_count(host->evict_cancelled).text);
}

void summary_write(FILE *stream, const struct outcome *outcome)
{
	write_guests(stream, outcome);
	write_host(stream, outcome);
}

static void write_failure(FILE *out, const struct guest_snapshot *guest)
{
	char text[sizeof(guest->exit_text)];

	memcpy(text, guest->exit_text, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	format_printable(text);
	fprintf(out, "guest %s: %s", guest->name, outcome_exit_name(guest));
	if (guest->verify_failures)
		fprintf(out, ", %" PRIu64 " pages read wrong", guest->verify_failures);
	fprintf(out, "%s%s\n", *text ? ": " : "", text);
}

void summary_verdict(FILE *stream, const struct outcome *outcome)
{
	u64 pages = 0;
	u32 failed = 0;

	for (u32 i = 0; i < outcome->count; i++) {
		const struct guest_snapshot *guest = &outcome->guests[i];

		pages += guest->pages_verified;
		if (outcome_guest_ok(guest))
			continue;
		if (failed++ < ROWS_MAX)
			write_failure(stream, guest);
	}
	if (failed || !outcome->count)
		fprintf(stream, "FAILED: %u of %u guests\n", failed, outcome->count);
	else
		fprintf(stream, "OK: %u guests on %s read %s pages in %s, every one as written\n",
			outcome->count, outcome_accel_words(outcome), format_count(pages).text,
			format_clock(outcome->host.duration_ns).text);
}
