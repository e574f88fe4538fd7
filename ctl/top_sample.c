/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top_sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"

/* clang-format off */
const struct top_column_info top_columns[TOP_COLUMNS] = {
	/* These fit 80 columns. */
	[TOP_SIZE] = {"MEMSZ", "memsz", TOP_BYTES, 6, false, "config/memory", "memory_now"},
	[TOP_RAM] = {"RAM", "ram", TOP_BYTES, 6, false, "mem/grant", "resident"},
	[TOP_ACTIVE] = {"ACTV", "active", TOP_BYTES, 6, false, "mem/active", ""},
	[TOP_SHARED] = {"SHRD", "shared", TOP_BYTES, 6, false, "mem/shrd", ""},
	[TOP_BALLOON] = {"MCTL", "balloon", TOP_BYTES, 6, false, "mem/mctlsz", ""},
	[TOP_ZIP] = {"ZIP", "zip", TOP_BYTES, 6, false, "mem/zip", ""},
	[TOP_SWAP] = {"SWAP", "swap", TOP_BYTES, 6, false, "mem/swcur", ""},
	[TOP_FAULTS] = {"FLT/S", "faults_per_s", TOP_COUNT, 6, true,
			"fault/missing fault/minor fault/wp", ""},
	[TOP_STALL] = {"%STL", "stall_percent", TOP_PERCENT, 5, true, "fault/stall_us", NULL},
	[TOP_OPS] = {"OPS/S", "ops_per_s", TOP_COUNT, 6, true, "ops", ""},
	[TOP_SOME] = {"%SOME", "some_avg10", TOP_PERCENT, 6, false, "pressure", "pressure"},
	/* Faults, by where the page was. */
	[TOP_FROM_ZERO] = {"F.ZERO", "faults_zero_per_s", TOP_COUNT, 7, true,
			   "fault/latency_hist/zero fault/latency_hist/same_filled", ""},
	[TOP_FROM_SHARED] = {"F.SHRD", "faults_shared_per_s", TOP_COUNT, 7, true,
			     "fault/latency_hist/shared", ""},
	[TOP_FROM_ZIP] = {"F.ZIP", "faults_zip_per_s", TOP_COUNT, 7, true,
			  "fault/latency_hist/compressed", ""},
	[TOP_FROM_DISK] = {"F.DISK", "faults_disk_per_s", TOP_COUNT, 7, true,
			   "fault/latency_hist/disk", ""},
	/* MiB a second. */
	[TOP_ZIP_RATE] = {"ZIP/S", "zip_bytes_per_s", TOP_BYTES, 7, false, "mem/zip_s", ""},
	[TOP_UNZIP_RATE] = {"UNZ/S", "unzip_bytes_per_s", TOP_BYTES, 7, false, "mem/unzip_s", ""},
	[TOP_WRITE_RATE] = {"SWW/S", "sww_bytes_per_s", TOP_BYTES, 7, false, "mem/sww_s", ""},
	[TOP_READ_RATE] = {"SWR/S", "swr_bytes_per_s", TOP_BYTES, 7, false, "mem/swr_s", ""},
	[TOP_GOAL] = {"GOAL", "goal", TOP_BYTES, 7, false, "mem/goal", ""},
	[TOP_TARGET] = {"MCTLTG", "balloon_target", TOP_BYTES, 7, false, "mem/mctltgt", ""},
	[TOP_ZERO] = {"ZERO", "zero", TOP_BYTES, 7, false, "mem/zero", ""},
	[TOP_SHARED_SAVED] = {"SHRDSV", "shared_saved", TOP_BYTES, 7, false, "mem/shrdsvd", ""},
	[TOP_SAVED] = {"ZIPSV", "zipsaved", TOP_BYTES, 7, false, "mem/zipsaved", ""},
};

static const char *const sources[TOP_SOURCES] = {"zero", "compressed", "disk", "shared"};
static const char *const percentiles[TOP_PERCENTILES] = {"p50_us", "p99_us"};

static const struct {
	const char *path;
	u32 offset;
} host_fields[] = {
	{"memory", offsetof(struct top_host, memory)},
	{"memory_now", offsetof(struct top_host, memory_now)},
	{"used", offsetof(struct top_host, used)},
	{"kernel", offsetof(struct top_host, kernel)},
	{"swap/pool_total_size", offsetof(struct top_host, pool)},
	{"swap/pool_pages", offsetof(struct top_host, pool_pages)},
	{"swap/disk_size", offsetof(struct top_host, disk)},
	{"guest_memory", offsetof(struct top_host, guest_memory)},
	{"uptime_s", offsetof(struct top_host, uptime_s)},
	{"guests_running", offsetof(struct top_host, running)},
	{"ksm/pages_shared", offsetof(struct top_host, frames)},
	{"ksm/pages_sharing", offsetof(struct top_host, sharing)},
};
/* clang-format on */

/* The number of an attribute's first line: "7", "count 7", "some avg10=7.00 ...". */
static double number_of(const char *line)
{
	const char *mark = strchr(line, '=');

	if (!mark)
		mark = strchr(line, ' ');
	return strtod(mark ? mark + 1 : line, NULL);
}

/* Whether `path` is a word of the list. */
static bool listed(const char *list, const char *path)
{
	size_t length = strlen(path);

	for (const char *at = list; length && (at = strstr(at, path)); at += length)
		if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
			return true;
	return false;
}

static void take_host(struct top_sample *sample, const char *path, const char *line)
{
	struct top_host *host = &sample->host;

	if (strcmp(path, "name") == 0)
		snprintf(host->name, sizeof(host->name), "%s", line);
	if (strcmp(path, "state") == 0)
		snprintf(host->state, sizeof(host->state), "%.15s", line);
	if (strcmp(path, "pressure") == 0)
		snprintf(host->pressure[0], sizeof(host->pressure[0]), "%s", line);
	for (u32 i = 0; i < ARRAY_SIZE(host_fields); i++)
		if (strcmp(host_fields[i].path, path) == 0) {
			double number = number_of(line);

			memcpy((char *)host + host_fields[i].offset, &number, sizeof(number));
		}
	for (u32 i = 0; i < TOP_COLUMNS; i++)
		if (top_columns[i].host && strcmp(top_columns[i].host, path) == 0)
			sample->total.raw[i] = number_of(line);
}

static void take_guest(struct top_row *row, const char *path, const char *line)
{
	if (strcmp(path, "state") == 0 ||
	    (strcmp(path, "phase") == 0 && strcmp(row->state, "running") == 0 && *line))
		snprintf(row->state, sizeof(row->state), "%.23s", line);
	if (strcmp(path, "config/vcpus") == 0)
		row->vcpus = number_of(line);
	for (u32 i = 0; i < TOP_COLUMNS; i++)
		if (listed(top_columns[i].paths, path))
			row->raw[i] += number_of(line);
}

/* One more line of a histogram: the percentiles that are wanted. */
static void take_latency(struct top_row *row, const char *path, const char *line)
{
	static const char folder[] = "fault/latency_hist/";

	if (strncmp(path, folder, strlen(folder)) != 0)
		return;
	for (u32 source = 0; source < TOP_SOURCES; source++)
		for (u32 i = 0; i < TOP_PERCENTILES; i++)
			if (strcmp(path + strlen(folder), sources[source]) == 0 &&
			    strncmp(line, percentiles[i], strlen(percentiles[i])) == 0)
				row->latency_us[source][i] = number_of(line);
}

/* The row of the guest a path begins with; lines of one guest come together. */
static struct top_row *row_of(struct top_sample *sample, const char *name)
{
	struct top_row *guests = sample->guests;

	if (sample->count && strcmp(guests[sample->count - 1].name, name) == 0)
		return &guests[sample->count - 1];
	guests = reallocarray(guests, sample->count + 1, sizeof(*guests));
	if (!guests)
		return NULL;
	sample->guests = guests;
	guests[sample->count] = (struct top_row){0};
	snprintf(guests[sample->count].name, sizeof(guests->name), "%s", name);
	return &guests[sample->count++];
}

/* One line of the answer, an attribute's first or not. Returns 0 or -ENOMEM. */
static int take_line(struct top_sample *sample, char *path, const char *line, bool first)
{
	struct top_row *row;
	char *name;

	if (*path == '/')
		path++;
	if (strncmp(path, "vm/", 3) != 0) {
		if (first)
			take_host(sample, path, line);
		else if (strcmp(path, "pressure") == 0)
			snprintf(sample->host.pressure[1], sizeof(sample->host.pressure[1]), "%s",
				 line);
		return 0;
	}
	path += 3;
	name = strsep(&path, "/");
	row = row_of(sample, name);
	if (row && path && first)
		take_guest(row, path, line);
	else if (row && path)
		take_latency(row, path, line);
	return row ? 0 : -ENOMEM;
}

static const struct top_row *find_row(const struct top_sample *sample, const char *name)
{
	for (u32 i = 0; sample && i < sample->count; i++)
		if (strcmp(sample->guests[i].name, name) == 0)
			return &sample->guests[i];
	return NULL;
}

/* Raw figures to those that are shown. */
static void set_values(struct top_row *row, const struct top_row *before, double seconds)
{
	for (u32 i = 0; i < TOP_COLUMNS; i++) {
		double change = before ? row->raw[i] - before->raw[i] : 0;

		if (!top_columns[i].rate)
			row->values[i] = row->raw[i];
		else
			row->values[i] = seconds > 0 && change > 0 ? change / seconds : 0;
	}
	/* Microseconds a second, of so many vCPUs: percent. */
	row->values[TOP_STALL] = MIN(row->values[TOP_STALL] / 1e4 / MAX(row->vcpus, 1), 100);
}

static void set_total(struct top_sample *sample)
{
	for (u32 i = 0; i < TOP_COLUMNS; i++) {
		const char *host = top_columns[i].host;

		sample->total.values[i] = sample->total.raw[i];
		for (u32 g = 0; host && !host[0] && g < sample->count; g++)
			sample->total.values[i] += sample->guests[g].values[i];
	}
}

int top_read(char *text, u64 when_ns, const struct top_sample *before, struct top_sample *sample)
{
	double seconds = before ? (double)(when_ns - before->when_ns) / NSEC_PER_SEC : 0;
	char last[256] = "";
	bool first;
	int ret = 0;

	*sample = (struct top_sample){.when_ns = when_ns};
	for (char *line = strsep(&text, "\n"); line && *line && !ret; line = strsep(&text, "\n")) {
		char *path = strsep(&line, "\t");

		if (!line)
			continue;
		first = strcmp(path, last) != 0;
		if (first)
			snprintf(last, sizeof(last), "%s", path);
		ret = take_line(sample, path, line, first);
	}
	for (u32 i = 0; i < sample->count; i++)
		set_values(&sample->guests[i], find_row(before, sample->guests[i].name), seconds);
	set_total(sample);
	if (ret)
		top_free(sample);
	return ret;
}

void top_free(struct top_sample *sample)
{
	free(sample->guests);
	*sample = (struct top_sample){0};
}

/* qsort_r's; its last argument is ours. */
struct order {
	enum top_column column;
	bool ascending;
};

static int compare_rows(const void *a, const void *b, void *argument)
{
	const struct top_row *left = a, *right = b;
	const struct order *order = argument;
	double x = left->values[order->column], y = right->values[order->column];

	if (x == y)
		return strcmp(left->name, right->name);
	return (x < y) == order->ascending ? -1 : 1;
}

void top_sort(struct top_sample *sample, enum top_column column, bool ascending)
{
	struct order order = {column, ascending};

	if (sample->count)
		qsort_r(sample->guests, sample->count, sizeof(*sample->guests), compare_rows,
			&order);
}

void top_csv_heading(FILE *out)
{
	fputs("seconds,kind,name,state", out);
	for (u32 i = 0; i < TOP_COLUMNS; i++)
		fprintf(out, ",%s", top_columns[i].csv);
	for (u32 source = 0; source < TOP_SOURCES; source++)
		for (u32 i = 0; i < TOP_PERCENTILES; i++)
			fprintf(out, ",%s_%s", sources[source], percentiles[i]);
	fputc('\n', out);
}

static void csv_row(const char *kind, const struct top_row *row, double seconds, FILE *out)
{
	fprintf(out, "%.1f,%s,%s,%s", seconds, kind, row->name, row->state);
	for (u32 i = 0; i < TOP_COLUMNS; i++)
		fprintf(out, top_columns[i].format == TOP_BYTES ? ",%.0f" : ",%.2f",
			row->values[i]);
}

static void csv_latency(const struct top_row *row, FILE *out)
{
	for (u32 source = 0; source < TOP_SOURCES; source++)
		for (u32 i = 0; i < TOP_PERCENTILES; i++)
			fprintf(out, ",%.0f", row->latency_us[source][i]);
	fputc('\n', out);
}

void top_csv(const struct top_sample *sample, double seconds, FILE *out)
{
	struct top_row host = sample->total;

	snprintf(host.name, sizeof(host.name), "%s", sample->host.name);
	snprintf(host.state, sizeof(host.state), "%s", sample->host.state);
	csv_row("host", &host, seconds, out);
	/* Its guests' percentiles do not add up. */
	for (u32 i = 0; i < TOP_SOURCES * TOP_PERCENTILES; i++)
		fputc(',', out);
	fputc('\n', out);
	for (u32 i = 0; i < sample->count; i++) {
		csv_row("guest", &sample->guests[i], seconds, out);
		csv_latency(&sample->guests[i], out);
	}
}
