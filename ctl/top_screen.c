/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top_screen.h"

#include <errno.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/format.h"
#include "lib/clock.h"

#define BAR_WIDTH   24
#define HEAD_LINES  5 /* above the guests */
#define NAME_WIDTH  12
#define STATE_WIDTH 8
#define LINE_BYTES  512

int top_screen_open(struct top_screen *screen)
{
	SCREEN *terminal;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return -ENOTTY;
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal)
		return -ENOTTY;
	set_term(terminal);
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	*screen = (struct top_screen){.sort = TOP_FAULTS};
	return 0;
}

void top_screen_close(void)
{
	endwin();
}

/* One line, cut to the terminal. What a guest wrote must not steer it. */
static void __attribute__((format(printf, 2, 3))) put(int y, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	format_printable(line);
	mvaddnstr(y, 0, line, COLS);
}

static int two_averages(const char *pressure)
{
	const char *third = strstr(pressure, " avg300");

	return third ? (int)(third - pressure) : (int)strlen(pressure);
}

static void draw_host(const struct top_sample *sample, u64 interval_ms)
{
	const struct top_host *host = &sample->host;
	double pool = MIN(host->pool, host->used);
	const struct bar_part parts[] = {{(u64)(host->used - pool), '#'}, {(u64)pool, '+'}};
	u64 budget = (u64)host->memory_now;
	char bar[BAR_WIDTH + 1], target[48] = "";

	if (host->memory != host->memory_now)
		snprintf(target, sizeof(target), " (down to %s)",
			 format_size((u64)host->memory).text);
	put(0, "%s  up %s   %.0f of %u guests run   every %.1f s", host->name,
	    format_clock((u64)host->uptime_s * NSEC_PER_SEC).text, host->running, sample->count,
	    (double)interval_ms / 1000);
	format_bar(bar, BAR_WIDTH, budget, parts, ARRAY_SIZE(parts));
	put(1, "budget %s%s [%s] %u%%   kernel counts %s", format_size(budget).text, target, bar,
	    format_percent((u64)host->used, budget), format_size((u64)host->kernel).text);
	put(2, "pool %s, %s saved   disk %s   guests %s, %.2fx the budget",
	    format_size((u64)host->pool).text,
	    format_size((u64)MAX(host->pool_pages * PAGE_SIZE - host->pool, 0)).text,
	    format_size((u64)host->disk).text, format_size((u64)host->guest_memory).text,
	    budget ? host->guest_memory / (double)budget : 0);
	/* Two of the three averages: what fits 80 columns. */
	put(3, "pressure %.*s   %.*s", two_averages(host->pressure[0]), host->pressure[0],
	    two_averages(host->pressure[1]), host->pressure[1]);
}

static struct formatted cell(enum top_format format, double value)
{
	struct formatted out;

	if (format == TOP_BYTES)
		snprintf(out.text, sizeof(out.text), "%.0f", value / MiB);
	else if (format == TOP_PERCENT)
		snprintf(out.text, sizeof(out.text), "%.1f", value);
	else
		return format_count((u64)value);
	return out;
}

/* Columns from the left, as many as the terminal has room for. The one sorted by always stays: where
 * there is no room for all, it takes the last place. */
static u32 visible(const struct top_screen *screen, enum top_column *columns)
{
	int room = COLS - NAME_WIDTH - STATE_WIDTH - 2;
	bool sorted = false;
	u32 count = 0;

	for (u32 i = 0; i < TOP_COLUMNS && room >= top_columns[i].width; i++) {
		room -= top_columns[i].width;
		columns[count++] = (enum top_column)i;
		sorted |= i == screen->sort;
	}
	if (!sorted && count)
		columns[count - 1] = screen->sort;
	return count;
}

static void draw_heading(const struct top_screen *screen, const enum top_column *columns, u32 count)
{
	attron(A_REVERSE);
	mvhline(HEAD_LINES - 1, 0, ' ', COLS);
	mvprintw(HEAD_LINES - 1, 0, "%-*s %-*s", NAME_WIDTH, "GUEST", STATE_WIDTH, "STATE");
	for (u32 i = 0; i < count; i++) {
		if (columns[i] == screen->sort)
			attron(A_BOLD | A_UNDERLINE);
		printw("%*s", top_columns[columns[i]].width, top_columns[columns[i]].title);
		attroff(A_BOLD | A_UNDERLINE);
	}
	attroff(A_REVERSE);
}

static void draw_row(int y, const struct top_row *row, const enum top_column *columns, u32 count)
{
	char line[LINE_BYTES];
	int at = snprintf(line, sizeof(line), "%-*.*s %-*.*s", NAME_WIDTH, NAME_WIDTH, row->name,
			  STATE_WIDTH, STATE_WIDTH, row->state);

	for (u32 i = 0; i < count && at < LINE_BYTES; i++)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "%*s",
			       top_columns[columns[i]].width,
			       cell(top_columns[columns[i]].format, row->values[columns[i]]).text);
	put(y, "%s", line);
}

static void draw_guests(struct top_screen *screen, const struct top_sample *sample)
{
	enum top_column columns[TOP_COLUMNS];
	u32 count = visible(screen, columns);
	u32 room = LINES > HEAD_LINES + 1 ? (u32)(LINES - HEAD_LINES - 1) : 0;
	u32 first;

	draw_heading(screen, columns, count);
	screen->selected = MIN(screen->selected, sample->count ? sample->count - 1 : 0);
	first = screen->selected >= room ? screen->selected - room + 1 : 0;
	for (u32 i = first; i < sample->count && i - first < room; i++) {
		if (i == screen->selected)
			attron(A_BOLD);
		draw_row(HEAD_LINES + (int)(i - first), &sample->guests[i], columns, count);
		attroff(A_BOLD);
	}
	put(LINES - 1, "q quit   < > sort by another column   r reverse   up down select   "
		       "enter: one guest");
}

/* ---- one guest ---- */

/* The next line of a text; false at its end. */
static bool next_line(const char **text, char *line, size_t size)
{
	size_t length = strcspn(*text, "\n");

	if (!**text)
		return false;
	snprintf(line, size, "%.*s", (int)MIN(length, size - 1), *text);
	*text += length + ((*text)[length] == '\n');
	return true;
}

#define SOURCES 4
#define STEPS	32

/* Faults of one guest by latency (powers of two of ns) and by source. */
struct latencies {
	u64 counts[STEPS][SOURCES];
};

static const char *const source_names[SOURCES] = {"zero", "same_filled", "compressed", "disk"};

/* "below_ns 4096 17" of one source. */
static void take_latency(struct latencies *latencies, const char *path, const char *value)
{
	unsigned long below, count;

	if (sscanf(value, "below_ns %lu %lu", &below, &count) != 2 || !below)
		return;
	for (u32 i = 0; i < SOURCES; i++)
		if (strcmp(path, source_names[i]) == 0)
			latencies->counts[MIN(__builtin_ctzl(below), STEPS - 1)][i] = count;
}

static void draw_latencies(const struct latencies *latencies, int y)
{
	put(y++, "%-12s %10s %10s %10s %10s", "faults below", "zero", "same", "zip", "disk");
	for (u32 step = 0; step < STEPS && y < LINES - 1; step++) {
		const u64 *counts = latencies->counts[step];

		if (!(counts[0] | counts[1] | counts[2] | counts[3]))
			continue;
		put(y++, "%-12s %10s %10s %10s %10s", format_latency(1UL << step).text,
		    format_count(counts[0]).text, format_count(counts[1]).text,
		    format_count(counts[2]).text, format_count(counts[3]).text);
	}
}

/* Where the next entry of a page of two columns goes. */
struct cursor {
	int y;
	bool right;
};

/* Writes an entry into the next free half of a line, or a line of its own when it is long. */
static void put_entry(struct cursor *cursor, const char *entry)
{
	int half = MAX(COLS / 2, 40), x;
	bool wide = strlen(entry) >= (size_t)half;

	if (wide && cursor->right) {
		cursor->y++;
		cursor->right = false;
	}
	x = cursor->right ? half : 0;
	if (cursor->y < LINES - 1)
		mvaddnstr(cursor->y, x, entry, MAX(COLS - x, 0));
	if (wide || cursor->right)
		cursor->y++;
	cursor->right = !wide && !cursor->right;
}

/* One line of the answer, if it is of this guest: an entry, or a part of a histogram. */
static void take_detail(struct cursor *cursor, struct latencies *latencies, char *line,
			const char *prefix)
{
	static const char latency[] = "fault/latency_hist/";
	char *value = strchr(line, '\t'), *path = line + strlen(prefix), entry[LINE_BYTES];

	if (strncmp(line, prefix, strlen(prefix)) != 0 || !value)
		return;
	*value++ = '\0';
	if (strncmp(path, latency, strlen(latency)) == 0) {
		take_latency(latencies, path + strlen(latency), value);
		return;
	}
	snprintf(entry, sizeof(entry), "%-20.20s %.400s", path, value);
	format_printable(entry);
	put_entry(cursor, entry);
}

/* Every attribute of the guest, and its faults by latency. */
static void draw_detail(const struct top_screen *screen, const char *text)
{
	char line[LINE_BYTES], prefix[ATTACH_NAME_MAX + 8];
	struct cursor cursor = {.y = HEAD_LINES};
	struct latencies latencies = {0};

	snprintf(prefix, sizeof(prefix), "/vm/%s/", screen->detail);
	while (next_line(&text, line, sizeof(line)))
		take_detail(&cursor, &latencies, line, prefix);
	if (cursor.y + cursor.right < LINES - 2)
		draw_latencies(&latencies, cursor.y + cursor.right + 1);
	put(LINES - 1, "q quit   esc or enter: all guests");
	attron(A_REVERSE);
	mvhline(HEAD_LINES - 1, 0, ' ', COLS);
	mvprintw(HEAD_LINES - 1, 0, "guest %s", screen->detail);
	attroff(A_REVERSE);
}

void top_screen_draw(struct top_screen *screen, struct top_sample *sample, const char *text,
		     u64 interval_ms)
{
	top_sort(sample, screen->sort, screen->ascending);
	erase();
	draw_host(sample, interval_ms);
	if (screen->detail[0])
		draw_detail(screen, text);
	else
		draw_guests(screen, sample);
	refresh();
}

static void toggle_detail(struct top_screen *screen, const struct top_sample *sample)
{
	if (screen->detail[0] || screen->selected >= sample->count)
		screen->detail[0] = '\0';
	else
		snprintf(screen->detail, sizeof(screen->detail), "%s",
			 sample->guests[screen->selected].name);
}

bool top_screen_key(struct top_screen *screen, const struct top_sample *sample, int wait_ms,
		    bool *redraw)
{
	int key;

	timeout(wait_ms);
	key = getch();
	*redraw = key != ERR;
	switch (key) {
	case 'q':
		return false;
	case '<':
	case KEY_LEFT:
		screen->sort = screen->sort ? screen->sort - 1 : TOP_COLUMNS - 1;
		break;
	case '>':
	case KEY_RIGHT:
		screen->sort = (screen->sort + 1) % TOP_COLUMNS;
		break;
	case 'r':
		screen->ascending = !screen->ascending;
		break;
	case KEY_UP:
		screen->selected -= screen->selected > 0;
		break;
	case KEY_DOWN:
		screen->selected++;
		break;
	case '\n':
	case KEY_ENTER:
		toggle_detail(screen, sample);
		break;
	case 27:
		screen->detail[0] = '\0';
		break;
	}
	return true;
}
