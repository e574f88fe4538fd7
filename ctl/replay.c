/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/replay.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/attr.h"
#include "ctl/format.h"
#include "ctl/parse.h"
#include "ctl/whatif.h"
#include "lib/clock.h"
#include "lib/log.h"

#define CHANGES_MAX 64

struct replay {
	const char *path;
	const char *changes[CHANGES_MAX];
	u32 change_count;
	u64 lines;
	FILE *file;
	u64 at; /* bytes read */
	u8 *buffer;
	struct record_host host;
	struct record_end end;
	struct whatif *whatif;
};

/* Reads a frame. Returns as record_take(), or -EIO. */
static int read_frame(struct replay *replay, enum record_type *type, struct record_in *frame)
{
	struct record_in in = {.data = replay->buffer};
	u32 length = 0;
	size_t got = fread(replay->buffer, 1, 5, replay->file);

	if (got == 5) {
		memcpy(&length, replay->buffer + 1, sizeof(length));
		/* One that is too long is refused below. */
		if (length <= RECORD_FRAME_MAX)
			got += fread(replay->buffer + 5, 1, length + 4UL, replay->file);
		else
			got = RECORD_FRAME_EXTRA;
	}
	if (ferror(replay->file))
		return -EIO;
	in.left = got;
	return record_take(&in, type, frame);
}

/* Says what is wrong with the record at the frame that begins where we are. */
static enum cli_status complain(const struct replay *replay, int error)
{
	if (error == -ENODATA)
		log_error("record %s: ends at byte %lu without its end: the run still goes on, was "
			  "killed, or the file was cut short; what came before is shown",
			  replay->path, replay->at);
	else if (error == -EBADMSG)
		log_error("record %s: is damaged at byte %lu: the frame there is not what was "
			  "written; what came before is shown",
			  replay->path, replay->at);
	else
		log_error("record %s: cannot be read: %s", replay->path, strerror(-error));
	return CLI_FAILED;
}

static enum cli_status read_head(struct replay *replay)
{
	char magic[sizeof(RECORD_MAGIC) - 1];
	enum record_type type;
	struct record_in frame;

	if (fread(magic, 1, sizeof(magic), replay->file) != sizeof(magic) ||
	    memcmp(magic, RECORD_MAGIC, sizeof(magic)) != 0 || read_frame(replay, &type, &frame) ||
	    type != RECORD_HOST || record_get_host(&frame, &replay->host)) {
		log_error("record %s: is not a record: `ballast run --record FILE' makes one",
			  replay->path);
		return CLI_FAILED;
	}
	if (replay->host.version != RECORD_VERSION) {
		log_error("record %s: is of version %lu; this ballast reads version %u",
			  replay->path, replay->host.version, RECORD_VERSION);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static enum cli_status read_frames(struct replay *replay)
{
	enum record_type type;
	struct record_in frame;
	int ret;

	for (;;) {
		replay->at = (u64)ftell(replay->file);
		ret = read_frame(replay, &type, &frame);
		if (!ret && type == RECORD_END)
			ret = record_get_end(&frame, &replay->end);
		else if (!ret)
			ret = whatif_take(replay->whatif, type, &frame);
		if (ret)
			return complain(replay, ret);
		if (type == RECORD_END)
			return CLI_OK;
	}
}

/* ---- what came out ---- */

static u64 mean(u64 sum, u64 count)
{
	return count ? sum / count / MiB : 0;
}

static void print_sum(const char *name, const char *which, const struct whatif_sum *sum, u64 steps)
{
	printf("%-16.16s %-8s %7lu %7lu %7lu %8lu %8lu %8lu %8lu\n", name, which,
	       mean(sum->goal, steps), mean(sum->balloon, steps), mean(sum->swap, steps),
	       sum->actions[TARGET_INFLATE], sum->actions[TARGET_DEFLATE],
	       sum->actions[TARGET_HOLD], sum->blocked);
}

static void print_guests(const struct replay *replay)
{
	const struct whatif_guest *guest;

	printf("\n%-16s %-8s %7s %7s %7s %8s %8s %8s %8s\n", "mean MiB, steps", "", "goal",
	       "balloon", "swap", "inflate", "deflate", "hold", "blocked");
	for (u32 i = 0; i < WHATIF_GUESTS_MAX; i++) {
		guest = whatif_guest(replay->whatif, i);
		if (!guest || !guest->steps)
			continue;
		print_sum(guest->name, "recorded", &guest->recorded, guest->steps);
		if (guest->differ)
			print_sum("", "now", &guest->now, guest->steps);
	}
}

static void print_states(const struct replay *replay)
{
	const struct whatif_totals *totals = whatif_totals(replay->whatif);

	for (u32 which = 0; which < (totals->states_differ ? 2U : 1U); which++) {
		printf("%s", which ? "states now       " : "\nstates recorded  ");
		for (u32 state = 0; state < HOST_STATES; state++)
			printf("  %s %u%%", host_state_name((enum host_state)state),
			       format_percent(totals->state_steps[which][state], totals->steps));
		putchar('\n');
	}
}

static void print_faults(const struct replay *replay)
{
	static const char *const sources[PAGE_STATES] = {
		[PAGE_ZERO] = "zero",	     [PAGE_RESIDENT] = "resident", [PAGE_SHARED] = "shared",
		[PAGE_SAME] = "same-filled", [PAGE_COMPRESSED] = "zip",	   [PAGE_DISK] = "disk",
	};
	const struct whatif_guest *guest;

	printf("\n%-16s %-12s %8s %8s %8s %8s\n", "faults", "page was", "count", "p50", "p99",
	       "longest");
	for (u32 i = 0; i < WHATIF_GUESTS_MAX; i++) {
		guest = whatif_guest(replay->whatif, i);
		for (u32 state = 0; guest && state < PAGE_STATES; state++) {
			const struct hist *hist = &guest->faults[state];

			if (sources[state] && hist->count)
				printf("%-16.16s %-12s %8s %8s %8s %8s\n", guest->name,
				       sources[state], format_count(hist->count).text,
				       format_latency(hist_percentile(hist, 500)).text,
				       format_latency(hist_percentile(hist, 990)).text,
				       format_latency(hist->max).text);
		}
	}
}

static void print_result(const struct replay *replay)
{
	const struct whatif_totals *totals = whatif_totals(replay->whatif);
	char name[ATTACH_NAME_MAX];

	snprintf(name, sizeof(name), "%s", replay->host.name);
	format_printable(name);
	printf("\n%s: %lu steps in %s, %s faults; dropped: %lu steps, %lu faults\n", name,
	       totals->steps,
	       format_clock((totals->last_ms - totals->first_ms) * NSEC_PER_MSEC).text,
	       format_count(totals->faults).text, replay->end.steps_dropped,
	       replay->end.faults_dropped);
	printf("%s: %lu of %lu decisions differ, %lu in what is done or why; the state in %lu "
	       "steps\n",
	       whatif_changes(replay->whatif) ? "with these settings" : "settings as they were",
	       totals->differ, totals->decisions, totals->differ_in_kind, totals->states_differ);
	print_guests(replay);
	print_states(replay);
	print_faults(replay);
}

static enum cli_status check_reproduced(const struct replay *replay)
{
	const struct whatif_totals *totals = whatif_totals(replay->whatif);

	if (whatif_changes(replay->whatif) || !(totals->differ + totals->states_differ))
		return CLI_OK;
	log_error("record %s: its decisions are not those of this ballast: another version made it",
		  replay->path);
	return CLI_FAILED;
}

static enum cli_status replay_file(struct replay *replay)
{
	enum cli_status status = read_head(replay);

	if (status)
		return status;
	status = read_frames(replay);
	print_result(replay);
	fflush(stdout);
	return status ? status : check_reproduced(replay);
}

/* ---- the command ---- */

static enum cli_status take_arguments(struct replay *replay, int argc, char **argv)
{
	static const struct option longs[] = {
		{"set", required_argument, NULL, 's'},
		{"lines", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*replay = (struct replay){.lines = 10};
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":s:n:", longs, NULL)) != -1) {
		if (option == ':')
			return cli_misused("replay", "%s needs a value", argv[optind - 1]);
		if (option == 's' && replay->change_count == CHANGES_MAX)
			return cli_misused("replay", "at most %u settings", CHANGES_MAX);
		if (option == 's')
			replay->changes[replay->change_count++] = optarg;
		else if (option != 'n')
			return cli_misused("replay", "unknown option %s", argv[optind - 1]);
		else if (parse_number(optarg, &replay->lines))
			return cli_misused("replay", "--lines %s: should be a number", optarg);
	}
	if (argc - optind != 1)
		return cli_misused("replay", "%s",
				   argc == optind ? "which record?" : "one record only");
	replay->path = argv[optind];
	return CLI_OK;
}

static enum cli_status make_changes(struct replay *replay)
{
	char error[ATTR_ERROR_MAX];

	for (u32 i = 0; i < replay->change_count; i++)
		if (whatif_set(replay->whatif, replay->changes[i], error, sizeof(error)))
			return cli_misused("replay", "--set %s", error);
	return CLI_OK;
}

static enum cli_status replay_main(int argc, char **argv)
{
	enum cli_status status;
	struct replay replay;

	if (take_arguments(&replay, argc, argv))
		return CLI_USAGE;
	replay.buffer = malloc(RECORD_FRAME_MAX + RECORD_FRAME_EXTRA);
	if (!replay.buffer || whatif_create(stdout, replay.lines, &replay.whatif)) {
		free(replay.buffer);
		log_error("out of memory");
		return CLI_FAILED;
	}
	status = make_changes(&replay);
	replay.file = status ? NULL : fopen(replay.path, "rbe");
	if (replay.file)
		status = replay_file(&replay);
	else if (!status)
		status = complain(&replay, -errno);
	if (replay.file)
		fclose(replay.file);
	whatif_destroy(replay.whatif);
	free(replay.buffer);
	return status;
}

const struct cli_command replay_command = {
	.name = "replay",
	.summary = "ask what other settings would have done in a recorded run",
	.synopsis = "replay FILE [--set PATH=VALUE]... [--lines N]",
	.help = "Makes every decision of the policy in a record (ballast run --record FILE) anew, by the\n"
		"same functions and without guests, and says what would have been decided otherwise.\n"
		"Nothing is run and nothing changed. What guests did is as recorded: they do not\n"
		"follow the other decisions.\n"
		"\n"
		"  -s, --set PATH=VALUE  as in the control tree, any number of times: memory, min_free,\n"
		"                        state_pct, policy/idle_tax_pct, wss/cold_age_s,\n"
		"                        wss/promotion_rate_target, and vm/NAME/config/ min, max, limit,\n"
		"                        shares (NAME *: of all guests)\n"
		"  -n, --lines N         tell that many decisions in full; 10 if not said\n"
		"\n"
		"  ballast replay run.rec --set policy/idle_tax_pct=0 --set vm/web/config/shares=4000\n"
		"\n"
		"Without --set, what was recorded has to come out: 1 if it does not. Exits with 1 also\n"
		"when the record is damaged or ends early, after showing what is there.\n",
	.run = replay_main,
};
