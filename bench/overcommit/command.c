/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/command.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/overcommit/goal.h"
#include "bench/overcommit/report.h"
#include "bench/overcommit/rival.h"
#include "bench/overcommit/runner.h"
#include "ctl/parse.h"
#include "lib/log.h"

#define PATIENCE_S  60
#define TRIES	    3
#define QUICK_WORK  50
#define GUEST_LEAST (32 * MiB)
#define GUEST_MOST  (8192 * MiB)

static volatile sig_atomic_t interrupted;

struct request {
	struct results results;
	struct cell_options options;
	const char *report; /* NULL: none */
	bool quick, all_rounds, all_overcommits, all_contenders, restore;
};

static void take_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = take_signal};

	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

/* ---- options ---- */

static s32 find_scenario(const char *name)
{
	const struct scenario *scenario = scenario_find(name);

	return scenario ? (s32)(scenario - scenarios) : -1;
}

/* "a,b" into bits; -1 when one is unknown. */
static s64 parse_names(const char *text, s32 (*find)(const char *name))
{
	char name[64];
	s64 bits = 0;

	while (*text) {
		size_t length = strcspn(text, ",");
		s32 number;

		snprintf(name, sizeof(name), "%.*s", (int)length, text);
		number = find(name);
		if (number < 0)
			return -1;
		bits |= 1L << number;
		text += length + (text[length] == ',');
	}
	return bits;
}

static int parse_overcommits(struct plan *plan, const char *text)
{
	char *end;

	plan->overcommit_count = 0;
	while (*text) {
		double value = strtod(text, &end);
		double before =
			plan->overcommit_count ? plan->overcommits[plan->overcommit_count - 1] : 0;

		if (end == text || (*end && *end != ',') || value < 1 || value > 16 ||
		    value <= before || plan->overcommit_count == OVERCOMMITS_MAX)
			return -EINVAL;
		plan->overcommits[plan->overcommit_count++] = value;
		text = end + (*end == ',');
	}
	return plan->overcommit_count ? 0 : -EINVAL;
}

static int take_names(u32 *bits, const char *text, s32 (*find)(const char *name))
{
	s64 parsed = parse_names(text, find);

	if (parsed <= 0)
		return -EINVAL;
	*bits = (u32)parsed;
	return 0;
}

static int take_rounds(u32 *rounds, const char *text)
{
	u64 number;

	if (parse_number(text, &number) || !number || number > ROUNDS_MAX)
		return -EINVAL;
	*rounds = (u32)number;
	return 0;
}

static int take_work(u32 *work, const char *text)
{
	u64 percent;

	if (parse_percent(text, &percent) || !percent || percent > 10000)
		return -EINVAL;
	*work = (u32)percent;
	return 0;
}

static int take_memory(u64 *bytes, const char *text)
{
	return parse_size(text, bytes) || *bytes < GUEST_LEAST || *bytes > GUEST_MOST ||
			       *bytes % REGION_SIZE
		       ? -EINVAL
		       : 0;
}

static int take_option(struct request *request, int option, const char *text)
{
	struct plan *plan = &request->results.plan;

	switch (option) {
	case 'q':
		request->quick = true;
		return 0;
	case 'u':
		request->restore = true;
		return 0;
	case 'r':
		request->report = text;
		return 0;
	case 'n':
		return take_rounds(&plan->rounds, text);
	case 'x':
		return parse_overcommits(plan, text);
	case 's':
		return take_names(&plan->scenarios, text, find_scenario);
	case 'c':
		return take_names(&plan->contenders, text, contender_find);
	case 'm':
		return take_memory(&plan->scale.guest_bytes, text);
	case 'w':
		return take_work(&plan->scale.work_percent, text);
	case 'd':
		plan->scale.data = text;
		return 0;
	case 'f':
		request->options.swap_folder = text;
		return 0;
	default:
		return -ENOENT;
	}
}

static enum cli_status parse_options(int argc, char **argv, struct request *request)
{
	static const struct option longs[] = {
		{"quick", no_argument, NULL, 'q'},
		{"restore", no_argument, NULL, 'u'},
		{"report", required_argument, NULL, 'r'},
		{"rounds", required_argument, NULL, 'n'},
		{"overcommit", required_argument, NULL, 'x'},
		{"scenario", required_argument, NULL, 's'},
		{"contender", required_argument, NULL, 'c'},
		{"guest-memory", required_argument, NULL, 'm'},
		{"work", required_argument, NULL, 'w'},
		{"data", required_argument, NULL, 'd'},
		{"swap", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		int err = take_option(request, option, optarg);

		if (option == ':')
			return cli_misused("bench", "%s needs a value", argv[optind - 1]);
		if (err == -ENOENT)
			return cli_misused("bench", "unknown option %s", argv[optind - 1]);
		if (err)
			return cli_misused("bench", "%s is not what this option takes", optarg);
	}
	if (optind != argc)
		return cli_misused("bench", "unknown argument %s", argv[optind]);
	return CLI_OK;
}

/* What was not said. */
static void set_defaults(struct request *request)
{
	struct plan *plan = &request->results.plan;

	if (!plan->rounds)
		plan->rounds = request->quick ? 1 : 5;
	if (!plan->overcommit_count)
		parse_overcommits(plan, request->quick ? "2" : "1,1.25,1.5,2,3");
	if (!plan->scenarios)
		plan->scenarios = (1U << scenario_count) - 1;
	if (!plan->contenders)
		plan->contenders =
			request->quick ? 1U << KERNEL | 1U << BALLAST : (1U << contender_count) - 1;
	if (!plan->scale.work_percent)
		plan->scale.work_percent = request->quick ? QUICK_WORK : 100;
	if (!plan->scale.guest_bytes)
		plan->scale.guest_bytes = request->quick ? 48 * MiB : 64 * MiB;
	if (!plan->scale.data)
		plan->scale.data = "/usr/bin";
	plan->variant_overcommit = GOAL_OVERCOMMIT;
	request->options.scale = plan->scale;
	request->options.patience_s = PATIENCE_S;
	request->options.tries = TRIES;
	request->options.interrupted = &interrupted;
	if (!request->options.swap_folder)
		request->options.swap_folder = "/var/tmp";
}

static void note_command(struct results *results, int argc, char **argv)
{
	size_t length = (size_t)snprintf(results->command, sizeof(results->command), "ballast");

	for (int i = 0; i < argc && length < sizeof(results->command); i++)
		length += (size_t)snprintf(results->command + length,
					   sizeof(results->command) - length, " %s", argv[i]);
}

/* ---- running ---- */

/* Without the kernel's own mechanisms there is nothing to compare with, but the rest is worth it. */
static void check_rival(struct request *request)
{
	struct results *results = &request->results;
	const char *why;

	if (!plan_has_contender(&results->plan, KERNEL) || !rival_check(&why))
		return;
	snprintf(results->rival_missing, sizeof(results->rival_missing), "%s", why);
	log_warn("the kernel is not measured: %s", why);
	results->plan.contenders &= ~(1U << KERNEL);
}

static enum cli_status conclude(struct request *request, int err)
{
	struct results *results = &request->results;
	bool reached;
	int ret = 0;

	if (request->report && results->count)
		ret = report_write_all(request->report, results, &request->options);
	if (err) {
		log_error("the benchmark did not finish: %s", strerror(-err));
		return CLI_FAILED;
	}
	reached = goals_verdict(stdout, results);
	printf("\n");
	return reached && !ret ? CLI_OK : CLI_FAILED;
}

static enum cli_status run(struct request *request)
{
	struct journal *journal = NULL;
	enum cli_status status;
	int err;

	/* Who changes nothing on the host needs not be alone on it. */
	if ((request->restore || plan_has_contender(&request->results.plan, KERNEL)) &&
	    journal_open(JOURNAL_PATH, &journal))
		return CLI_FAILED;
	cell_sweep();
	if (request->restore) {
		journal_close(journal);
		return CLI_OK;
	}
	request->options.journal = journal;
	catch_signals();
	/* Guests whose parent dies become ours, so that none outlives the benchmark. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	check_rival(request);
	machine_describe(&request->results.machine);
	err = runner_run(&request->results, &request->options);
	journal_close(journal);
	status = conclude(request, err);
	results_free(&request->results);
	return status;
}

static enum cli_status bench_main(int argc, char **argv)
{
	struct request request = {};
	enum cli_status status;

	if (argc < 2 || strcmp(argv[1], "overcommit") != 0)
		return cli_misused("bench", "which benchmark? There is one: overcommit");
	note_command(&request.results, argc, argv);
	status = parse_options(argc - 1, argv + 1, &request);
	if (status)
		return status;
	set_defaults(&request);
	return run(&request);
}

const struct cli_command bench_command = {
	.name = "bench",
	.summary = "compare with the kernel's own KSM, zram and swap",
	.synopsis = "bench overcommit [--quick] [--report DIR] [OPTION...]",
	.help = "Runs the same guests on the same memory under Ballast, under the kernel's own KSM, zram\n"
		"and swap, and with enough memory for all; says how many more guests fit, and at what\n"
		"cost. Every read is verified. docs/benchmarks.md tells how it measures.\n"
		"\n"
		"  --quick             2 times overcommit, one round, under three minutes\n"
		"  --report DIR        write report.json, report.md and report.html there\n"
		"  --rounds N          5 unless said; 1 with --quick\n"
		"  --overcommit LIST   1,1.25,1.5,2,3 unless said: rising, at most 8\n"
		"  --scenario LIST     only these: idle-fleet clones kv-a kv-b kv-c sweep phase storm\n"
		"                      incompressible\n"
		"  --contender LIST    only these: kernel ballast no-sharing no-dedup no-pool no-huge\n"
		"                      no-policy no-turns; all unless said, the first two with --quick. Those\n"
		"                      that lack something are measured at 2 times overcommit only\n"
		"  --guest-memory SIZE of each guest; 64M unless said, 48M with --quick\n"
		"  --work PERCENT      of the operations; 100 unless said, 50 with --quick\n"
		"  --data PATH         file or folder whose bytes fill the guests; /usr/bin unless said\n"
		"  --swap DIR          where swap files are made; /var/tmp unless said\n"
		"  --restore           only put back what a benchmark that died left changed\n"
		"\n"
		"While the kernel is measured, swap on /dev/zram0 and on a file, and KSM, are switched on\n"
		"for the whole host, and put back as they were at once afterwards: also after an\n"
		"interrupt, and after a death by the next run (" JOURNAL_PATH ").\n"
		"\n"
		"Exits with 0 if all goals were reached; 1 if not, or if it failed.\n",
	.run = bench_main,
};
