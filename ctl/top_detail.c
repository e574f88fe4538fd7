/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top_detail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/attach.h"
#include "ctl/format.h"
#include "mem/page.h"

#define DECISIONS_SHOWN 5U
#define STEPS		20U /* powers of four of nanoseconds: some minutes */
#define AGES		16U
#define AGE_BAR		8U
#define LEFT_WIDTH	28 /* ages stand to the left of latencies */
#define ENTRY_WIDTH	40U

static const char *const sources[] = {"zero", "same_filled", "shared", "compressed", "disk"};
static const char *const source_titles[] = {"zero", "same", "shared", "zip", "disk"};
#define SOURCES ARRAY_SIZE(sources)

/* What is gathered before it is laid out. */
struct detail {
	char prefix[ATTACH_NAME_MAX + 8];
	const char *guest;
	u64 counts[STEPS][SOURCES]; /* faults, by latency and source */
	struct {
		char label[24];
		u64 bytes;
	} ages[AGES];
	u32 age_count;
	char decisions[DECISIONS_SHOWN][TOP_LINE_BYTES]; /* a ring: the last ones */
	u32 decision_count;
	struct top_page attributes; /* "path value" */
};

/* Adds a line; what a guest wrote must not steer the terminal. */
static int __attribute__((format(printf, 2, 3)))
add_line(struct top_page *page, const char *format, ...)
{
	char(*lines)[TOP_LINE_BYTES] = reallocarray(page->lines, page->count + 1UL, sizeof(*lines));
	va_list args;

	if (!lines)
		return -ENOMEM;
	page->lines = lines;
	va_start(args, format);
	vsnprintf(lines[page->count], TOP_LINE_BYTES, format, args);
	va_end(args);
	format_printable(lines[page->count++]);
	return 0;
}

void top_page_free(struct top_page *page)
{
	free(page->lines);
	*page = (struct top_page){0};
}

/* ---- reading ---- */

static bool starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* "below_ns 4096 17" of one source. */
static void take_latency(struct detail *detail, const char *source, const char *value)
{
	unsigned long below, count;

	if (sscanf(value, "below_ns %lu %lu", &below, &count) != 2 || !below)
		return;
	for (u32 i = 0; i < SOURCES; i++)
		if (strcmp(source, sources[i]) == 0)
			detail->counts[MIN(((u32)__builtin_ctzl(below) + 1) / 2, STEPS - 1)][i] +=
				count;
}

/* "below_s 8 4096", "more 4096": two steps to a line, from the second on. */
static void take_age(struct detail *detail, const char *value)
{
	unsigned long below = 0, bytes;
	bool more = sscanf(value, "more %lu", &bytes) == 1;
	u32 line = detail->age_count;

	if ((!more && sscanf(value, "below_s %lu %lu", &below, &bytes) != 2) || line == AGES)
		return;
	snprintf(detail->ages[line].label, sizeof(detail->ages[line].label),
		 more ? "more" : "< %lu s", below);
	detail->ages[line].bytes += bytes;
	/* 1, 4, 16, ...: where an even power ends. */
	if (more || !below || __builtin_ctzl(below) % 2 == 0)
		detail->age_count++;
}

/* One line of the host's log, if it is about this guest: "12.345 hard NAME: ...". */
static void take_decision(struct detail *detail, const char *line)
{
	char name[ATTACH_NAME_MAX] = "";

	_Static_assert(ATTACH_NAME_MAX == 64, "a name fits");
	if (sscanf(line, "%*s %*s %63[A-Za-z0-9_.-]", name) == 1 &&
	    strcmp(name, detail->guest) == 0)
		snprintf(detail->decisions[detail->decision_count++ % DECISIONS_SHOWN],
			 TOP_LINE_BYTES, "%s", line);
}

/* "path<TAB>value", of the host or of any guest. */
static int take_line(struct detail *detail, char *line)
{
	static const char latency[] = "fault/latency_hist/";
	char *value = strchr(line, '\t'), *path;

	if (!value)
		return 0;
	*value++ = '\0';
	if (strcmp(line, "/policy/decisions") == 0)
		take_decision(detail, value);
	if (!starts_with(line, detail->prefix))
		return 0;
	path = line + strlen(detail->prefix);
	if (starts_with(path, latency))
		take_latency(detail, path + strlen(latency), value);
	else if (strcmp(path, "wss/age_hist") == 0)
		take_age(detail, value);
	else if (*value && strcmp(path, "last_decision") != 0)
		return add_line(&detail->attributes, "%-22s %.400s", path, value);
	return 0;
}

static int read_text(struct detail *detail, const char *text)
{
	char line[TOP_LINE_BYTES];
	int ret = 0;

	while (*text && !ret) {
		size_t length = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)MIN(length, sizeof(line) - 1), text);
		text += length + (text[length] == '\n');
		ret = take_line(detail, line);
	}
	return ret;
}

/* ---- laying out ---- */

/* A text of any length, broken at blanks, what follows indented. */
static int put_wrapped(struct top_page *page, const char *text, u32 columns)
{
	u32 room = MAX(columns, 40U) - 4, indent = 2;
	int ret = 0;

	while (*text && !ret) {
		size_t length = strlen(text);

		if (length > room) {
			length = room;
			while (length > room / 2 && text[length] != ' ')
				length--;
		}
		ret = add_line(page, "%*s%.*s", (int)indent, "", (int)length, text);
		text += length;
		text += *text == ' ';
		indent = 4;
	}
	return ret;
}

static int put_decisions(const struct detail *detail, u32 columns, struct top_page *page)
{
	u32 count = MIN(detail->decision_count, DECISIONS_SHOWN);
	int ret = add_line(page, "last decisions, the newest first");

	for (u32 i = 1; i <= count && !ret; i++)
		ret = put_wrapped(page,
				  detail->decisions[(detail->decision_count - i) % DECISIONS_SHOWN],
				  columns);
	if (!ret && !detail->decision_count)
		ret = add_line(page, "  none yet");
	return ret;
}

static void describe_age(const struct detail *detail, u32 index, char *text, size_t size)
{
	const u64 bytes = detail->ages[index].bytes;
	struct bar_part part = {bytes, '#'};
	char bar[AGE_BAR + 1];
	u64 all = 0;

	for (u32 i = 0; i < detail->age_count; i++)
		all += detail->ages[i].bytes;
	format_bar(bar, AGE_BAR, MAX(all, 1UL), &part, 1);
	snprintf(text, size, "%-8s %6lu %s", detail->ages[index].label, bytes / MiB, bar);
}

static void describe_latency(const u64 *counts, u32 step, char *text, size_t size)
{
	int at = snprintf(text, size, "< %-7s", format_latency(1UL << (2 * step)).text);

	for (u32 i = 0; i < SOURCES; i++)
		at += snprintf(text + at, size - (size_t)at, "%8s", format_count(counts[i]).text);
}

/* The next latency that any fault took, from `step` on; STEPS: there is none. */
static u32 next_latency(const struct detail *detail, u32 step)
{
	for (; step < STEPS; step++)
		for (u32 i = 0; i < SOURCES; i++)
			if (detail->counts[step][i])
				return step;
	return STEPS;
}

static int put_histograms(const struct detail *detail, struct top_page *page)
{
	char left[64], right[96];
	u32 age = 0, step = next_latency(detail, 0);
	int at = snprintf(right, sizeof(right), "%-9s", "faults");
	int ret;

	for (u32 i = 0; i < SOURCES; i++)
		at += snprintf(right + at, sizeof(right) - (size_t)at, "%8s", source_titles[i]);
	ret = add_line(page, "%-*s%s", LEFT_WIDTH, "not used for      MiB", right);
	while (!ret && (age < detail->age_count || step < STEPS)) {
		left[0] = right[0] = '\0';
		if (age < detail->age_count)
			describe_age(detail, age++, left, sizeof(left));
		if (step < STEPS) {
			describe_latency(detail->counts[step], step, right, sizeof(right));
			step = next_latency(detail, step + 1);
		}
		ret = add_line(page, "%-*s%s", LEFT_WIDTH, left, right);
	}
	return ret;
}

/* Attributes side by side, as many as there is room for; a long one has a line of its own. */
static int put_attributes(const struct detail *detail, u32 columns, struct top_page *page)
{
	u32 side_by_side = MAX(columns / ENTRY_WIDTH, 1U), used = 0;
	char line[TOP_LINE_BYTES] = "";
	int ret = 0;

	for (u32 i = 0; i < detail->attributes.count && !ret; i++) {
		const char *entry = detail->attributes.lines[i];
		bool wide = strlen(entry) >= ENTRY_WIDTH;

		if (used && (wide || used == side_by_side)) {
			ret = add_line(page, "%s", line);
			used = 0;
		}
		if (wide && !ret) {
			ret = add_line(page, "%s", entry);
			continue;
		}
		snprintf(line + used * ENTRY_WIDTH, sizeof(line) - used * ENTRY_WIDTH, "%-*s",
			 (int)ENTRY_WIDTH, entry);
		used = (used + 1) % (sizeof(line) / ENTRY_WIDTH);
	}
	return ret || !used ? ret : add_line(page, "%s", line);
}

static int lay_out(const struct detail *detail, u32 columns, struct top_page *page)
{
	int ret = put_histograms(detail, page);

	if (!ret)
		ret = add_line(page, "%s", "");
	if (!ret)
		ret = put_decisions(detail, columns, page);
	if (!ret)
		ret = add_line(page, "%s", "");
	return ret ? ret : put_attributes(detail, columns, page);
}

int top_detail(const char *text, const char *guest, u32 columns, struct top_page *page)
{
	struct detail *detail = calloc(1, sizeof(*detail));
	int ret;

	*page = (struct top_page){0};
	if (!detail)
		return -ENOMEM;
	snprintf(detail->prefix, sizeof(detail->prefix), "/vm/%s/", guest);
	detail->guest = guest;
	ret = read_text(detail, text);
	if (!ret)
		ret = lay_out(detail, columns, page);
	top_page_free(&detail->attributes);
	free(detail);
	return ret;
}
