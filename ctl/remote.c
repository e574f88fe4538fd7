/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/remote.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/client.h"
#include "ctl/format.h"
#include "ctl/parse.h"
#include "ctl/rundir.h"
#include "ctl/wire.h"
#include "lib/clock.h"
#include "lib/log.h"

/* What a command was told: options, and what is left. */
struct remote {
	const char *host; /* NULL: the one that runs */
	u64 interval_ms;
	u32 count; /* of `watch`; 0: for ever */
	bool now;
	char **words;
	int word_count;
};

static enum cli_status take_interval(struct remote *remote, const char *command, const char *text)
{
	u64 ms;

	if (parse_number(text, &ms) || ms < 10 || ms > 3600000)
		return cli_misused(command, "--interval %s: should be 10 to 3600000 milliseconds",
				   text);
	remote->interval_ms = ms;
	return CLI_OK;
}

static enum cli_status take_count(struct remote *remote, const char *command, const char *text)
{
	u64 count;

	if (parse_number(text, &count) || !count || count > UINT32_MAX)
		return cli_misused(command, "--count %s: should be a number from 1", text);
	remote->count = (u32)count;
	return CLI_OK;
}

/* `options` names those the command has, of "Hinc": host, interval, now, count. */
static enum cli_status take_option(struct remote *remote, const char *command, const char *options,
				   int option, char **argv)
{
	static const char all[] = "Hinc";

	if (option == ':')
		return cli_misused(command, "%s needs a value", argv[optind - 1]);
	if (!strchr(all, option) || !strchr(options, option))
		return cli_misused(command, "unknown option %s", argv[optind - 1]);
	if (option == 'i')
		return take_interval(remote, command, optarg);
	if (option == 'c')
		return take_count(remote, command, optarg);
	if (option == 'H')
		remote->host = optarg;
	else
		remote->now = true;
	return CLI_OK;
}

/* Reads options, and from `least` to `most` words, called `what` in a message. */
static enum cli_status take_arguments(struct remote *remote, int argc, char **argv,
				      const char *options, int least, int most, const char *what)
{
	static const struct option longs[] = {
		{"host", required_argument, NULL, 'H'},
		{"interval", required_argument, NULL, 'i'},
		{"now", no_argument, NULL, 'n'},
		{"count", required_argument, NULL, 'c'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*remote = (struct remote){.interval_ms = 1000};
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":H:i:c:", longs, NULL)) != -1)
		if (take_option(remote, argv[0], options, option, argv))
			return CLI_USAGE;
	remote->words = argv + optind;
	remote->word_count = argc - optind;
	if (remote->word_count < least || remote->word_count > most)
		return cli_misused(argv[0], "wants %s", what);
	return CLI_OK;
}

/* Asks, and says what went wrong. The text is the caller's on success. */
static enum cli_status ask(const struct remote *remote, const char *const *words, u32 count,
			   char **text)
{
	char path[RUNDIR_PATH_MAX];
	int ret = client_find(remote->host, path, sizeof(path));

	if (ret)
		return CLI_FAILED;
	ret = client_ask(path, words, count, text);
	if (!ret)
		return CLI_OK;
	if (ret > 0)
		log_error("%s", *text && **text ? *text : strerror(ret));
	free(*text);
	*text = NULL;
	return CLI_FAILED;
}

static enum cli_status ask_and_print(const struct remote *remote, const char *const *words,
				     u32 count)
{
	enum cli_status status;
	char *text;

	status = ask(remote, words, count, &text);
	if (status)
		return status;
	fputs(text, stdout);
	free(text);
	return CLI_OK;
}

static enum cli_status get_main(int argc, char **argv)
{
	struct remote remote;

	if (take_arguments(&remote, argc, argv, "H", 1, 1, "one PATH"))
		return CLI_USAGE;
	return ask_and_print(&remote, (const char *[]){"get", remote.words[0]}, 2);
}

static enum cli_status set_main(int argc, char **argv)
{
	struct remote remote;

	if (take_arguments(&remote, argc, argv, "H", 2, 2, "a PATH and a VALUE"))
		return CLI_USAGE;
	return ask_and_print(&remote, (const char *[]){"set", remote.words[0], remote.words[1]}, 3);
}

static enum cli_status ls_main(int argc, char **argv)
{
	struct remote remote;

	if (take_arguments(&remote, argc, argv, "H", 0, 1, "at most one PATH"))
		return CLI_USAGE;
	return ask_and_print(&remote,
			     (const char *[]){"ls", remote.word_count ? remote.words[0] : "/"}, 2);
}

/* "path<TAB>line" in two columns. */
static void print_columns(char *text)
{
	int width = 0;

	for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
		width = MAX(width, (int)strcspn(at, "\t"));
	for (char *line = strsep(&text, "\n"); line && *line; line = strsep(&text, "\n")) {
		const char *path = strsep(&line, "\t");

		printf("%-*s  %s\n", width, path, line ? line : "");
	}
}

static enum cli_status tree_main(int argc, char **argv)
{
	struct remote remote;
	enum cli_status status;
	char *text;

	if (take_arguments(&remote, argc, argv, "H", 0, 1, "at most one PATH"))
		return CLI_USAGE;
	status = ask(&remote, (const char *[]){"tree", remote.word_count ? remote.words[0] : "/"},
		     2, &text);
	if (status)
		return status;
	print_columns(text);
	free(text);
	return CLI_OK;
}

static void print_change(const char *text)
{
	time_t now = time(NULL);
	struct tm local;
	char stamp[16];

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &local);
	printf("%s %s", stamp, *text ? text : "\n");
	fflush(stdout);
}

/* Prints a value whenever it is another than before. */
static enum cli_status watch_main(int argc, char **argv)
{
	char *text, *before = NULL;
	enum cli_status status;
	struct remote remote;
	u32 shown = 0;

	if (take_arguments(&remote, argc, argv, "Hic", 1, 1, "one PATH"))
		return CLI_USAGE;
	for (;;) {
		const struct timespec pause = {
			.tv_sec = (time_t)(remote.interval_ms / 1000),
			.tv_nsec = (long)(remote.interval_ms % 1000 * NSEC_PER_MSEC),
		};

		status = ask(&remote, (const char *[]){"get", remote.words[0]}, 2, &text);
		if (status)
			break;
		if (!before || strcmp(before, text) != 0) {
			print_change(text);
			shown++;
		}
		free(before);
		before = text;
		if (remote.count && shown >= remote.count)
			break;
		nanosleep(&pause, NULL);
	}
	free(before);
	return status;
}

/* The whole file; NULL with the reason logged. */
static char *read_file(const char *path)
{
	FILE *stream = fopen(path, "re");
	char *text = calloc(1, WIRE_REQUEST_MAX + 1);
	size_t length;

	if (!stream || !text) {
		log_error("%s: cannot open: %s", path, strerror(errno));
		goto fail;
	}
	length = fread(text, 1, WIRE_REQUEST_MAX + 1, stream);
	if (ferror(stream)) {
		log_error("%s: cannot read: %s", path, strerror(errno));
		goto fail;
	}
	if (length > WIRE_REQUEST_MAX || strlen(text) != length) {
		log_error("%s: a configuration is text of at most %lu KiB", path,
			  WIRE_REQUEST_MAX / KiB);
		goto fail;
	}
	fclose(stream);
	return text;

fail:
	if (stream)
		fclose(stream);
	free(text);
	return NULL;
}

static enum cli_status start_main(int argc, char **argv)
{
	enum cli_status status;
	struct remote remote;
	char *text;

	if (take_arguments(&remote, argc, argv, "", 2, 2, "a HOST and a FILE.ini"))
		return CLI_USAGE;
	remote.host = remote.words[0];
	text = read_file(remote.words[1]);
	if (!text)
		return CLI_FAILED;
	status = ask_and_print(&remote, (const char *[]){"start", remote.words[1], text}, 3);
	free(text);
	return status;
}

static enum cli_status stop_main(int argc, char **argv)
{
	struct remote remote;

	if (take_arguments(&remote, argc, argv, "n", 2, 2, "a HOST and a GUEST"))
		return CLI_USAGE;
	remote.host = remote.words[0];
	return ask_and_print(
		&remote, (const char *[]){"stop", remote.words[1], remote.now ? "now" : "verify"},
		3);
}

#define HOST_HELP                                                                                  \
	"\n"                                                                                       \
	"  -H, --host NAME  which host, when several run: its name, or the path of its socket\n"

const struct cli_command get_command = {
	.name = "get",
	.summary = "print an attribute of a running host",
	.synopsis = "get PATH [--host NAME]",
	.help = "Prints what the attribute says now: ballast get /vm/web/pressure.\n" HOST_HELP
		"\n`ballast help control` lists all attributes.\n",
	.run = get_main,
};

const struct cli_command set_command = {
	.name = "set",
	.summary = "change an attribute of a running host",
	.synopsis = "set PATH VALUE [--host NAME]",
	.help = "Writes the attribute: ballast set /memory 512M. A value is checked whole; one that\n"
		"will not do changes nothing, and the reason is said.\n" HOST_HELP
		"\n`ballast help control` lists all attributes.\n",
	.run = set_main,
};

const struct cli_command ls_command = {
	.name = "ls",
	.summary = "list a folder of the control tree",
	.synopsis = "ls [PATH] [--host NAME]",
	.help = "Lists attributes and folders at PATH, or at the root.\n" HOST_HELP,
	.run = ls_main,
};

const struct cli_command tree_command = {
	.name = "tree",
	.summary = "print all attributes with their values",
	.synopsis = "tree [PATH] [--host NAME]",
	.help = "Prints every attribute at or below PATH, and what it says.\n" HOST_HELP,
	.run = tree_main,
};

const struct cli_command watch_command = {
	.name = "watch",
	.summary = "print an attribute whenever it changes",
	.synopsis = "watch PATH [--interval MS] [--count N] [--host NAME]",
	.help = "Looks at the attribute again and again, and prints it with the time when it says\n"
		"something else, until interrupted.\n"
		"\n"
		"  -i, --interval MS  look that often; every 1000 ms if not said\n"
		"  -c, --count N      end after N lines\n"
		"  -H, --host NAME    which host, when several run\n",
	.run = watch_main,
};

const struct cli_command start_command = {
	.name = "start",
	.summary = "add guests to a running host",
	.synopsis = "start HOST FILE.ini",
	.help = "Starts the guests that FILE.ini describes on the host of that name: [guest NAME]\n"
		"sections as for `ballast run`, no [host]. Nothing starts before the whole file is in\n"
		"order. Prints their names. Paths in the file are relative to where the host runs.\n",
	.run = start_main,
};

const struct cli_command stop_command = {
	.name = "stop",
	.summary = "end a guest of a running host",
	.synopsis = "stop HOST GUEST [--now]",
	.help = "Tells the guest to verify its memory and end. It is still there when this returns:\n"
		"ballast watch /vm/GUEST/state shows its end.\n"
		"\n"
		"  --now  end at once, without verifying\n",
	.run = stop_main,
};
