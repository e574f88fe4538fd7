/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block is drawn from its top line downwards, and then the cursor goes back to that top line,
 * which is empty. So a message that anybody writes to the terminal meanwhile, this process or a VMM,
 * lands on the empty line, stays, and pushes the block one line down.
 */
#include "ctl/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/format.h"
#include "lib/clock.h"
#include "mem/page.h"

#define BLOCK_PERIOD_NS (250 * NSEC_PER_MSEC)
#define LINES_PERIOD_NS (5 * NSEC_PER_SEC)
/* VMMs report a few times a second: rates over less than this would jump. */
#define RATE_PERIOD_NS NSEC_PER_SEC

#define LINE_BYTES  256
#define BAR_WIDTH   24
#define GUEST_BAR   14
#define FIXED_LINES 7 /* empty, title, two of the host, heading, folded guests, and one to spare */

/* What a guest had done when rates were last computed, and the rates. */
struct guest_rates {
	u64 ops, stall_ns;
	double ops_per_s;
	u32 stall_percent;
};

struct progress {
	FILE *stream;
	enum progress_style style;
	const struct host_config *config;
	u64 start_ns, shown_ns, rated_ns;
	u64 faults;
	double faults_per_s;
	u32 width, height; /* of the terminal */
	u32 lines;	   /* drawn in this block so far */
	u32 count;
	struct guest_rates *guests;
};

enum progress_style progress_style_for(FILE *stream)
{
	const char *term = getenv("TERM");

	if (!isatty(fileno(stream)) || !term || strcmp(term, "dumb") == 0)
		return PROGRESS_LINES;
	return PROGRESS_BLOCK;
}

int progress_create(FILE *stream, enum progress_style style, const struct host_config *config,
		    struct progress **progress)
{
	struct progress *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->stream = stream;
	made->style = style;
	made->config = config;
	*progress = made;
	return 0;
}

static void measure_terminal(struct progress *progress)
{
	struct winsize size = {0};

	ioctl(fileno(progress->stream), TIOCGWINSZ, &size);
	progress->width = MIN(size.ws_col ? size.ws_col : 80U, LINE_BYTES - 1U);
	progress->height = size.ws_row ? size.ws_row : 24;
}

static void put_line(struct progress *progress, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One line of the block, cut to the terminal's width: a wrapped line would break the redrawing. */
static void put_line(struct progress *progress, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	line[progress->width] = '\0';
	format_printable(line);
	fprintf(progress->stream, "%s\033[K\n", line);
	progress->lines++;
}

/* Guests may have been added. Returns false when there is no memory for them. */
static bool grow(struct progress *progress, u32 count)
{
	struct guest_rates *guests;

	if (count <= progress->count)
		return true;
	guests = reallocarray(progress->guests, count, sizeof(*guests));
	if (!guests)
		return false;
	memset(guests + progress->count, 0, (count - progress->count) * sizeof(*guests));
	progress->guests = guests;
	progress->count = count;
	return true;
}

static void update_rates(struct progress *progress, const struct outcome *outcome, u64 now_ns)
{
	u64 elapsed_ns = now_ns - progress->rated_ns, faults = outcome_faults(outcome);
	double seconds = (double)elapsed_ns / NSEC_PER_SEC;

	if (elapsed_ns < RATE_PERIOD_NS)
		return;
	progress->faults_per_s = (double)(faults - progress->faults) / seconds;
	progress->faults = faults;
	progress->rated_ns = now_ns;
	for (u32 i = 0; i < progress->count; i++) {
		const struct guest_snapshot *guest = &outcome->guests[i];
		struct guest_rates *rates = &progress->guests[i];
		u64 stall_ns = guest->stall_ns - rates->stall_ns;

		rates->ops_per_s = (double)(guest->ops - rates->ops) / seconds;
		rates->stall_percent =
			MIN(format_percent(stall_ns, elapsed_ns * MAX(guest->vcpus, 1U)), 100U);
		rates->ops = guest->ops;
		rates->stall_ns = guest->stall_ns;
	}
}

static void put_host(struct progress *progress, const struct outcome *outcome, u64 now_ns)
{
	const struct host_snapshot *host = &outcome->host;
	const char *accel = outcome_accel_words(outcome);
	u64 pool = MIN(host->pool_bytes, host->used_bytes);
	const struct bar_part parts[] = {{host->used_bytes - pool, '#'}, {pool, '+'}};
	char bar[BAR_WIDTH + 1], until[32] = "";
	u64 elapsed_ns = now_ns - progress->start_ns;
	u64 until_ns = progress->config->run_seconds * NSEC_PER_SEC;

	/* How long still: till they are told to verify and end; how long that takes nobody knows. */
	if (elapsed_ns < until_ns)
		snprintf(until, sizeof(until), " of %s", format_clock(until_ns).text);
	put_line(progress, "%s  %s%s   %u guests, %s on a budget of %s%s%s", progress->config->name,
		 format_clock(elapsed_ns).text, until, outcome->count,
		 format_size(host->guest_bytes).text, format_size(host->budget_bytes).text,
		 *accel ? "   on " : "", accel);
	format_bar(bar, BAR_WIDTH, host->budget_bytes, parts, ARRAY_SIZE(parts));
	put_line(progress, "budget [%s] %3u%%  %s used, %s of it pool (%.1fx)   %s", bar,
		 format_percent(host->used_bytes, host->budget_bytes),
		 format_size(host->used_bytes).text, format_size(host->pool_bytes).text,
		 outcome_ratio(outcome), host_state_name(host->policy.state));
	put_line(progress, "swap   %s on disk, %s written, %s read   %s faults/s",
		 format_size(host->disk_bytes).text, format_size(host->written_bytes).text,
		 format_size(host->read_bytes).text,
		 format_count((u64)progress->faults_per_s).text);
}

static u64 pages_mib(u64 pages)
{
	return pages * PAGE_SIZE / MiB;
}

static void put_guest(struct progress *progress, const struct guest_snapshot *guest,
		      const struct guest_rates *rates)
{
	bool ended = guest->life == GUEST_LIFE_ENDED;
	u64 permille = ended ? 1000 : MIN(guest->progress, 1000U);
	const struct bar_part done = {permille, '='};
	const char *phase = guest->phase;
	char bar[GUEST_BAR + 1];

	if (ended || guest->life == GUEST_LIFE_STARTING)
		phase = outcome_exit_name(guest);
	format_bar(bar, GUEST_BAR, 1000, &done, 1);
	put_line(progress,
		 "%-12.12s %-8.8s [%s] %3u%% %5s %7" PRIu64 " %6" PRIu64 " %6" PRIu64 " %4u%%",
		 guest->name, phase, bar, (u32)(permille / 10),
		 format_count(ended ? 0 : (u64)rates->ops_per_s).text,
		 pages_mib(guest->pages[PAGE_RESIDENT] + guest->pages[PAGE_SHARED]),
		 pages_mib(guest->pages[PAGE_COMPRESSED]), pages_mib(guest->pages[PAGE_DISK]),
		 ended ? 0 : rates->stall_percent);
}

/* When not all guests fit: those that failed first, then those that run, then the others. */
static u32 guest_rank(const struct guest_snapshot *guest)
{
	if (guest->life != GUEST_LIFE_ENDED)
		return 1;
	return outcome_guest_ok(guest) ? 2 : 0;
}

static void put_guests(struct progress *progress, const struct outcome *outcome)
{
	u32 room = progress->height > FIXED_LINES ? progress->height - FIXED_LINES : 0;
	u32 shown = 0, running = 0;

	put_line(progress, "%-12s %-8s %*s %5s %7s %6s %6s %5s", "guest", "phase", GUEST_BAR + 7,
		 "", "ops/s", "ram MiB", "zip", "disk", "stall");
	for (u32 rank = 0; rank < 3; rank++)
		for (u32 i = 0; i < outcome->count && shown < room; i++)
			if (guest_rank(&outcome->guests[i]) == rank) {
				put_guest(progress, &outcome->guests[i], &progress->guests[i]);
				shown++;
			}
	for (u32 i = 0; i < outcome->count; i++)
		running += outcome->guests[i].life != GUEST_LIFE_ENDED;
	if (shown < outcome->count)
		put_line(progress, "... and %u more; %u of %u still running",
			 outcome->count - shown, running, outcome->count);
}

static void show_block(struct progress *progress, const struct outcome *outcome, u64 now_ns)
{
	measure_terminal(progress);
	progress->lines = 0;
	fputc('\r', progress->stream);
	put_line(progress, "%s", "");
	put_host(progress, outcome, now_ns);
	put_guests(progress, outcome);
	fprintf(progress->stream, "\033[J\033[%uA", progress->lines);
	fflush(progress->stream);
}

/* How many guests are in a phase, and how far the slowest of them is. */
struct phase_count {
	char name[24];
	u32 guests;
	u64 permille;
};

#define PHASES_MAX 8 /* more than guests have; what a hostile one invents beyond is not counted */

static u32 count_phase(struct phase_count *phases, u32 count, const struct guest_snapshot *guest)
{
	bool running = guest->life == GUEST_LIFE_RUNNING;
	const char *name = running ? guest->phase : outcome_exit_name(guest);
	u64 permille = running ? guest->progress : 1000;
	u32 i = 0;

	while (i < count && strncmp(phases[i].name, name, sizeof(phases[i].name) - 1) != 0)
		i++;
	if (i == PHASES_MAX)
		return count;
	if (i == count) {
		phases[i] = (struct phase_count){.permille = 1000};
		snprintf(phases[i].name, sizeof(phases[i].name), "%.23s", name);
		count++;
	}
	phases[i].guests++;
	phases[i].permille = MIN(phases[i].permille, permille);
	return count;
}

/* "2 fill 57%, 1 run, 1 ok" */
static void describe_phases(const struct outcome *outcome, char *text, size_t size)
{
	struct phase_count phases[PHASES_MAX];
	u32 count = 0;
	size_t at = 0;

	for (u32 i = 0; i < outcome->count; i++)
		count = count_phase(phases, count, &outcome->guests[i]);
	text[0] = '\0';
	for (u32 i = 0; i < count && at < size; i++) {
		char done[8] = "";

		if (phases[i].permille < 1000)
			snprintf(done, sizeof(done), " %u%%", (u32)(phases[i].permille / 10));
		at += (size_t)snprintf(text + at, size - at, "%s%u %s%s", i ? ", " : "",
				       phases[i].guests, phases[i].name, done);
	}
}

static void show_line(struct progress *progress, const struct outcome *outcome, u64 now_ns)
{
	const struct host_snapshot *host = &outcome->host;
	char phases[160];

	describe_phases(outcome, phases, sizeof(phases));
	format_printable(phases);
	fprintf(progress->stream, "%s  %s: %s of %s used, pool %s, disk %s, %s faults/s: %s\n",
		format_clock(now_ns - progress->start_ns).text, host_state_name(host->policy.state),
		format_size(host->used_bytes).text, format_size(host->budget_bytes).text,
		format_size(host->pool_bytes).text, format_size(host->disk_bytes).text,
		format_count((u64)progress->faults_per_s).text, phases);
	fflush(progress->stream);
}

void progress_show(struct progress *progress, const struct outcome *outcome, u64 now_ns)
{
	bool block = progress->style == PROGRESS_BLOCK;

	if (progress->style == PROGRESS_NONE || !grow(progress, outcome->count))
		return;
	if (!progress->start_ns)
		progress->start_ns = progress->rated_ns = progress->shown_ns = now_ns;
	update_rates(progress, outcome, now_ns);
	if (now_ns - progress->shown_ns < (block ? BLOCK_PERIOD_NS : LINES_PERIOD_NS))
		return;
	progress->shown_ns = now_ns;
	if (block)
		show_block(progress, outcome, now_ns);
	else
		show_line(progress, outcome, now_ns);
}

void progress_destroy(struct progress *progress)
{
	if (!progress)
		return;
	if (progress->style == PROGRESS_BLOCK) {
		fputs("\r\033[J", progress->stream);
		fflush(progress->stream);
	}
	free(progress->guests);
	free(progress);
}
