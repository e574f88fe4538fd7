/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top_screen.h"

#include <errno.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/format.h"
#include "ctl/top_detail.h"
#include "lib/clock.h"

#define BAR_WIDTH   24
#define HEAD_LINES  5 /* above the guests */
#define NAME_WIDTH  12
#define STATE_WIDTH 8
#define LINE_BYTES  TOP_LINE_BYTES

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
	put(0, "%s  %s  up %s   %.0f of %u guests run, %.2fx the budget   every %.1f s", host->name,
	    host->state, format_clock((u64)host->uptime_s * NSEC_PER_SEC).text, host->running,
	    sample->count, budget ? host->guest_memory / (double)budget : 0,
	    (double)interval_ms / 1000);
	format_bar(bar, BAR_WIDTH, budget, parts, ARRAY_SIZE(parts));
	put(1, "budget %s%s [%s] %u%%   kernel counts %s", format_size(budget).text, target, bar,
	    format_percent((u64)host->used, budget), format_size((u64)host->kernel).text);
	put(2, "pool %s, %s saved   disk %s   shared %s, %s saved",
	    format_size((u64)host->pool).text,
	    format_size((u64)MAX(host->pool_pages * PAGE_SIZE - host->pool, 0)).text,
	    format_size((u64)host->disk).text, format_size((u64)host->frames * PAGE_SIZE).text,
	    format_size((u64)host->sharing * PAGE_SIZE).text);
	/* Two of the three averages: what fits 80 columns. */
	put(3, "pressure %.*s   %.*s", two_averages(host->pressure[0]), host->pressure[0],
	    two_averages(host->pressure[1]), host->pressure[1]);
}

static struct formatted cell(enum top_format format, double value)
{
	struct formatted out;

	if (format == TOP_BYTES && value < 1e5 * MiB)
		snprintf(out.text, sizeof(out.text), "%.0f", value / MiB);
	else if (format == TOP_BYTES)
		snprintf(out.text, sizeof(out.text), "%.0fG", value / GiB);
	else if (format == TOP_PERCENT)
		snprintf(out.text, sizeof(out.text), "%.*f", value < 99.95, value);
	else
		return format_count((u64)value);
	return out;
}

/* Columns from the left, as many as the terminal has room for. The one sorted by always stays: where
 * there is no room for all, it takes the last place. */
static u32 visible(const struct top_screen *screen, enum top_column *columns)
{
	int room = COLS - NAME_WIDTH - STATE_WIDTH - 1;
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
	put(LINES - 1, "q quit   < > sort by   r reverse   up down select   enter: one guest");
}

/* ---- one guest ---- */

static void draw_detail(struct top_screen *screen, const char *text)
{
	u32 room = LINES > HEAD_LINES + 1 ? (u32)(LINES - HEAD_LINES - 1) : 0;
	struct top_page page;

	if (top_detail(text, screen->detail, (u32)MAX(COLS, 1), &page))
		put(HEAD_LINES, "out of memory");
	screen->scroll = MIN(screen->scroll, page.count > room ? page.count - room : 0);
	for (u32 i = 0; i < room && screen->scroll + i < page.count; i++)
		put(HEAD_LINES + (int)i, "%s", page.lines[screen->scroll + i]);
	put(LINES - 1, "q quit   esc or enter: all guests   up down: %u of %u lines",
	    MIN(screen->scroll + room, page.count), page.count);
	attron(A_REVERSE);
	mvhline(HEAD_LINES - 1, 0, ' ', COLS);
	mvprintw(HEAD_LINES - 1, 0, "guest %s", screen->detail);
	attroff(A_REVERSE);
	top_page_free(&page);
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

/* Up or down: the guest selected, or the lines of the one that is shown. */
static void steer(struct top_screen *screen, int by)
{
	u32 *at = screen->detail[0] ? &screen->scroll : &screen->selected;

	*at = by < 0 ? *at - MIN(*at, (u32)-by) : *at + (u32)by;
}

static void toggle_detail(struct top_screen *screen, const struct top_sample *sample)
{
	screen->scroll = 0;
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
		steer(screen, -1);
		break;
	case KEY_DOWN:
		steer(screen, 1);
		break;
	case KEY_PPAGE:
		steer(screen, -10);
		break;
	case KEY_NPAGE:
		steer(screen, 10);
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
