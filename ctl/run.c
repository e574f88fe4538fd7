/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/run.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>

#include "ctl/config.h"
#include "ctl/faces.h"
#include "ctl/outcome.h"
#include "ctl/parse.h"
#include "ctl/progress.h"
#include "ctl/report.h"
#include "ctl/summary.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "manager/manager.h"

#define SERVE_MS	 200
#define STOP_PATIENCE_NS (10 * NSEC_PER_SEC)

struct run_options {
	const char *config;
	const char *report; /* NULL: none */
	const char *record; /* NULL: none */
	bool quiet;
	bool limited; /* --for was given */
	u32 seconds;
};

/* How far the end has been asked for; it only grows. */
enum ending { ENDING_NOT, ENDING_GRACEFUL, ENDING_AT_ONCE, ENDING_ABANDON };

/* Signals taken so far: the first asks the guests to verify and end, the second to end, the third ends
 * us. */
static volatile sig_atomic_t signals_taken;

static void take_signal(int number)
{
	(void)number;
	if (signals_taken < ENDING_ABANDON)
		signals_taken = signals_taken + 1;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = take_signal};

	signals_taken = 0;
	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	/* Whoever reads our output may go away: that ends no guest. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

struct run {
	struct manager *manager;
	const struct host_config *config;
	struct outcome outcome;
	struct progress *progress;
	enum ending ending;
	u64 deadline_ns; /* when `for` is over; UINT64_MAX: never */
	u64 patience_ns; /* when to stop waiting for guests told to end at once */
};

static void ask_to_end(struct run *run, enum ending ending, const char *reason)
{
	run->ending = ending;
	if (ending == ENDING_AT_ONCE)
		run->patience_ns = clock_now_ns() + STOP_PATIENCE_NS;
	if (ending < ENDING_ABANDON)
		manager_stop_guests(run->manager, ending == ENDING_GRACEFUL, reason);
}

static void check_ending(struct run *run, u64 now_ns)
{
	enum ending asked = (enum ending)signals_taken;

	if (asked > run->ending) {
		if (asked == ENDING_GRACEFUL)
			log_info("guests verify and end; a second signal ends them at once");
		ask_to_end(run, asked, "interrupted by the user");
	} else if (run->ending == ENDING_NOT && now_ns >= run->deadline_ns) {
		ask_to_end(run, ENDING_GRACEFUL, "the time is over");
	}
	if (run->ending == ENDING_AT_ONCE && now_ns >= run->patience_ns)
		run->ending = ENDING_ABANDON;
}

/* Until every guest has ended, or nobody wants to wait for them any longer. */
static void serve(struct run *run)
{
	u64 now_ns = clock_now_ns();
	u32 seconds = run->config->run_seconds;

	run->deadline_ns = seconds ? now_ns + seconds * NSEC_PER_SEC : UINT64_MAX;
	while (manager_serve(run->manager, SERVE_MS) > 0 && run->ending < ENDING_ABANDON) {
		now_ns = clock_now_ns();
		check_ending(run, now_ns);
		outcome_take(&run->outcome, run->manager);
		progress_show(run->progress, &run->outcome, now_ns);
	}
	outcome_take(&run->outcome, run->manager);
	outcome_take_decisions(&run->outcome, run->manager);
}

static enum cli_status conclude(struct run *run, const struct run_options *options)
{
	bool ok = outcome_ok(&run->outcome);
	int ret;

	if (!options->quiet) {
		summary_write(stdout, &run->outcome);
		summary_verdict(stdout, &run->outcome);
		fflush(stdout);
	} else if (!ok) {
		summary_verdict(stderr, &run->outcome);
	}
	if (!options->report)
		return ok ? CLI_OK : CLI_FAILED;
	ret = report_save(options->report, &run->outcome);
	if (ret) {
		log_error("report %s: cannot be written: %s", options->report, strerror(-ret));
		return CLI_FAILED;
	}
	return ok ? CLI_OK : CLI_FAILED;
}

static enum cli_status run_config(const struct host_config *config,
				  const struct run_options *options)
{
	enum progress_style style = options->quiet ? PROGRESS_NONE : progress_style_for(stdout);
	struct run run = {.config = config};
	struct faces *faces;
	enum cli_status status = CLI_FAILED;

	if (outcome_init(&run.outcome, config->guest_count) ||
	    progress_create(stdout, style, config, &run.progress)) {
		log_error("out of memory for %u guests", config->guest_count);
		goto free_outcome;
	}
	catch_signals();
	if (manager_create(config, &run.manager))
		goto free_progress;
	if (faces_start(config, run.manager, &faces)) {
		manager_destroy(run.manager);
		goto free_progress;
	}
	/* Guests that cannot start have ended, with a reason: the outcome shows it. */
	manager_start_guests(run.manager);
	serve(&run);
	faces_stop(faces);
	progress_destroy(run.progress);
	run.progress = NULL;
	manager_destroy(run.manager);
	status = conclude(&run, options);
free_progress:
	progress_destroy(run.progress);
free_outcome:
	outcome_free(&run.outcome);
	return status;
}

static enum cli_status parse_for(struct run_options *options, const char *text)
{
	u64 seconds;

	if (parse_duration(text, &seconds) || seconds > UINT32_MAX)
		return cli_misused("run", "--for %s: should be seconds, or a number with s, m or h",
				   text);
	options->limited = true;
	options->seconds = (u32)seconds;
	return CLI_OK;
}

static enum cli_status parse_options(int argc, char **argv, struct run_options *options)
{
	static const struct option longs[] = {
		{"for", required_argument, NULL, 'f'},
		{"report", required_argument, NULL, 'r'},
		{"record", required_argument, NULL, 'R'},
		{"quiet", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":q", longs, NULL)) != -1) {
		switch (option) {
		case 'f':
			if (parse_for(options, optarg))
				return CLI_USAGE;
			break;
		case 'r':
			options->report = optarg;
			break;
		case 'R':
			options->record = optarg;
			break;
		case 'q':
			options->quiet = true;
			break;
		case ':':
			return cli_misused("run", "%s needs a value", argv[optind - 1]);
		default:
			return cli_misused("run", "unknown option %s", argv[optind - 1]);
		}
	}
	if (argc - optind != 1)
		return cli_misused("run", "%s",
				   argc == optind ? "which configuration file?"
						  : "one configuration file only");
	options->config = argv[optind];
	return CLI_OK;
}

static enum cli_status run_main(int argc, char **argv)
{
	struct run_options options = {0};
	struct host_config config;
	enum cli_status status;
	char error[1024];

	if (parse_options(argc, argv, &options))
		return CLI_USAGE;
	if (config_read(options.config, &config, error, sizeof(error))) {
		log_error("%s", error);
		return CLI_FAILED;
	}
	if (options.limited)
		config.run_seconds = options.seconds;
	if (options.record)
		snprintf(config.record, sizeof(config.record), "%s", options.record);
	status = run_config(&config, &options);
	config_free(&config);
	return status;
}

const struct cli_command run_command = {
	.name = "run",
	.summary = "run guests on less memory than they have",
	.synopsis = "run FILE.ini [--for TIME] [--report FILE.json] [--record FILE]\n"
		    "              [--quiet]",
	.help = "Starts the guests that FILE.ini describes, each in a process of its own, and keeps\n"
		"them running within the host's memory budget: cold pages are compressed in memory,\n"
		"and what does not fit there goes to the swap file. Shows how they do while they run;\n"
		"at the end, a table of the guests and a summary of the host.\n"
		"\n"
		"  --for TIME          tell the guests to verify their memory and end after TIME:\n"
		"                      seconds, or a number with s, m or h. Counts from the start, and\n"
		"                      goes before the file's `for`.\n"
		"  --report FILE.json  write all figures of the run there, as JSON\n"
		"  --record FILE       write every fault and decision there, for `ballast replay`\n"
		"  -q, --quiet         print errors only\n"
		"\n"
		"An interrupt (Ctrl-C, SIGTERM) ends the run like TIME does; a second one ends it\n"
		"without verifying, a third kills the guests.\n"
		"\n"
		"Exits with 0 only if every guest ended well and everything it read was what it had\n"
		"written; 1 if not, or if nothing could be started; 2 if the command line was wrong.\n"
		"\n"
		"`ballast help config` lists the keys of FILE.ini.\n",
	.run = run_main,
};
