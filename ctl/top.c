/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/client.h"
#include "ctl/parse.h"
#include "ctl/rundir.h"
#include "ctl/top_sample.h"
#include "ctl/top_screen.h"
#include "lib/clock.h"
#include "lib/log.h"

struct top {
	const char *host;
	char path[RUNDIR_PATH_MAX]; /* of its socket */
	u64 interval_ms;
	u64 count; /* samples; 0: for ever */
	bool batch;
	struct top_sample sample;
	char *text; /* the answer the sample was read from */
};

static volatile sig_atomic_t interrupted;

static void take_signal(int number)
{
	(void)number;
	interrupted = 1;
}

/* Asks the host anew. */
static bool sample(struct top *top)
{
	struct top_sample next;
	char *text, *copy;
	int ret = client_ask(top->path, (const char *[]){"tree", "/"}, 2, &text);

	if (ret) {
		free(text);
		return false;
	}
	copy = strdup(text);
	ret = copy ? top_read(copy, clock_now_ns(), top->sample.when_ns ? &top->sample : NULL,
			      &next)
		   : -1;
	free(copy);
	if (ret) {
		free(text);
		log_error("out of memory for what the host says");
		return false;
	}
	top_free(&top->sample);
	free(top->text);
	top->sample = next;
	top->text = text;
	return true;
}

static void pause_for(u64 ms)
{
	const struct timespec pause = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000 * NSEC_PER_MSEC),
	};

	nanosleep(&pause, NULL);
}

static enum cli_status run_batch(struct top *top)
{
	u64 began = clock_now_ns();

	/* Rates want two samples. */
	if (!sample(top))
		return CLI_FAILED;
	top_csv_heading(stdout);
	for (u64 i = 0; (!top->count || i < top->count) && !interrupted; i++) {
		pause_for(top->interval_ms);
		if (interrupted || !sample(top))
			break;
		top_csv(&top->sample, (double)(top->sample.when_ns - began) / NSEC_PER_SEC, stdout);
		if (fflush(stdout))
			break;
	}
	return CLI_OK;
}

/* Shows a sample until the next is due. False: the user has seen enough. */
static bool show(struct top *top, struct top_screen *screen)
{
	u64 due = clock_now_ns() + top->interval_ms * NSEC_PER_MSEC, now;
	bool redraw = true;

	while ((now = clock_now_ns()) < due && !interrupted) {
		if (redraw)
			top_screen_draw(screen, &top->sample, top->text, top->interval_ms);
		if (!top_screen_key(screen, &top->sample, (int)((due - now) / NSEC_PER_MSEC) + 1,
				    &redraw))
			return false;
	}
	return !interrupted;
}

static enum cli_status run_screen(struct top *top)
{
	struct top_screen screen;
	bool lost = false;
	u64 shown = 0;

	if (!sample(top))
		return CLI_FAILED;
	if (top_screen_open(&screen)) {
		log_error("top wants a terminal; --batch prints CSV anywhere");
		return CLI_FAILED;
	}
	while (!lost && show(top, &screen) && (!top->count || ++shown < top->count))
		lost = !sample(top);
	top_screen_close();
	/* Whatever was said while the screen was ours went with it. */
	if (lost)
		log_info("the host at %s has ended, or does not answer any more", top->path);
	return CLI_OK;
}

static enum cli_status take_number(const char *option, const char *text, u64 min, u64 max, u64 *out)
{
	u64 number;

	if (parse_number(text, &number) || number < min || number > max)
		return cli_misused("top", "--%s %s: should be a number from %lu to %lu", option,
				   text, min, max);
	*out = number;
	return CLI_OK;
}

static enum cli_status take_arguments(struct top *top, int argc, char **argv)
{
	static const struct option longs[] = {
		{"host", required_argument, NULL, 'H'},
		{"interval", required_argument, NULL, 'i'},
		{"count", required_argument, NULL, 'c'},
		{"batch", no_argument, NULL, 'b'},
		{NULL, 0, NULL, 0},
	};
	enum cli_status status = CLI_OK;
	int option;

	*top = (struct top){.interval_ms = 1000};
	optind = 1;
	opterr = 0;
	while (!status && (option = getopt_long(argc, argv, ":H:i:c:b", longs, NULL)) != -1) {
		switch (option) {
		case 'H':
			top->host = optarg;
			break;
		case 'i':
			status = take_number("interval", optarg, 100, 3600000, &top->interval_ms);
			break;
		case 'c':
			status = take_number("count", optarg, 1, UINT32_MAX, &top->count);
			break;
		case 'b':
			top->batch = true;
			break;
		case ':':
			return cli_misused("top", "%s needs a value", argv[optind - 1]);
		default:
			return cli_misused("top", "unknown option %s", argv[optind - 1]);
		}
	}
	if (!status && argc != optind)
		return cli_misused("top", "unknown argument %s", argv[optind]);
	return status;
}

static enum cli_status top_main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = take_signal};
	enum cli_status status;
	struct top top;

	if (take_arguments(&top, argc, argv))
		return CLI_USAGE;
	if (client_find(top.host, top.path, sizeof(top.path)))
		return CLI_FAILED;
	interrupted = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	status = top.batch ? run_batch(&top) : run_screen(&top);
	top_free(&top.sample);
	free(top.text);
	return status;
}

const struct cli_command top_command = {
	.name = "top",
	.summary = "watch a running host and its guests",
	.synopsis = "top [--host NAME] [--interval MS] [--batch] [--count N]",
	.help = "Shows the host and a line for each guest, largest first in the column that is sorted\n"
		"by: its memory (MEMSZ, in MiB as all sizes), in RAM, active, shared, in the balloon\n"
		"(MCTL), compressed (ZIP), on disk; faults a second, the share of time its vCPUs\n"
		"waited for memory (%STL). A wider terminal shows more: operations a second; pressure\n"
		"(some, avg10); faults by where the page was (F.); MiB a second into and out of pool\n"
		"and swap file; goal and balloon target; zero memory, and what sharing and\n"
		"compressing save.\n"
		"\n"
		"  -H, --host NAME    which host, when several run\n"
		"  -i, --interval MS  look that often; every 1000 ms if not said\n"
		"  -b, --batch        print CSV instead: a line for the host, one for each guest\n"
		"  -c, --count N      end after N samples\n"
		"\n"
		"Keys: < and > sort by another column, r the other way round; up and down select a\n"
		"guest, enter shows it alone: the last decisions about it, how old its memory is,\n"
		"its faults by latency, and every attribute (up and down scroll). q quits.\n",
	.run = top_main,
};
