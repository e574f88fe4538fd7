/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/config_key.h"
#include "ctl/doctor.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/replay.h"
#include "ctl/run.h"
#include "ctl/service.h"
#include "ctl/top.h"
#include "ctl/wrap.h"
#include "hv/vmm.h"

#define BALLAST_VERSION "0.1.0"

static enum cli_status version_main(int argc, char **argv)
{
	if (argc > 1)
		return cli_misused("version", "unknown argument %s", argv[1]);
	printf("ballast %s\n", BALLAST_VERSION);
	return CLI_OK;
}

static const struct cli_command version_command = {
	.name = "version",
	.summary = "print the version",
	.synopsis = "version",
	.help = "Prints the version of this program.\n",
	.run = version_main,
};

static enum cli_status vmm_command_main(int argc, char **argv)
{
	u64 socket;

	if (argc != 3 || strcmp(argv[1], "--socket") != 0 || parse_number(argv[2], &socket) ||
	    socket > INT32_MAX)
		return cli_misused("vmm", "usage: ballast vmm --socket FD");
	return vmm_main((int)socket);
}

static const struct cli_command vmm_command = {
	.name = "vmm",
	.synopsis = "vmm --socket FD",
	.help = "Runs one guest and speaks the attach protocol on the connected socket FD. The manager\n"
		"starts this by itself; there is no other use for it than to debug a VMM alone.\n",
	.run = vmm_command_main,
};

static enum cli_status help_main(int argc, char **argv);

static const struct cli_command help_command = {
	.name = "help",
	.summary = "explain a command, or the configuration file",
	.synopsis = "help [COMMAND | config | control]",
	.help = "Prints the page of a command; `help config` lists every key of a configuration file,\n"
		"`help control` every attribute of a host that runs.\n",
	.run = help_main,
};

static const struct cli_command *const commands[] = {
	&run_command,  &doctor_command, &version_command, &help_command,
	&vmm_command,  &get_command,	&set_command,	  &ls_command,
	&tree_command, &watch_command,	&start_command,	  &stop_command,
	&top_command,  &replay_command, &manager_command, &wrap_command,
};

/* Those of whoever calls cli_main(). */
static const struct cli_command *const *others;
static u32 other_count;

#define COMMANDS (ARRAY_SIZE(commands) + other_count)

static const struct cli_command *command_at(u32 i)
{
	return i < ARRAY_SIZE(commands) ? commands[i] : others[i - ARRAY_SIZE(commands)];
}

static const struct cli_command *find_command(const char *name)
{
	for (u32 i = 0; i < COMMANDS; i++)
		if (strcmp(command_at(i)->name, name) == 0)
			return command_at(i);
	return NULL;
}

static bool asks_for_help(const char *argument)
{
	return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static void print_overview(FILE *out)
{
	fprintf(out, "ballast - run KVM guests beyond physical RAM\n\nUsage:\n");
	for (u32 i = 0; i < COMMANDS; i++)
		if (command_at(i)->summary)
			fprintf(out, "  ballast %s\n", command_at(i)->synopsis);
	fprintf(out, "\nCommands:\n");
	for (u32 i = 0; i < COMMANDS; i++)
		if (command_at(i)->summary)
			fprintf(out, "  %-9s %s\n", command_at(i)->name, command_at(i)->summary);
	fprintf(out, "\n`ballast COMMAND --help` explains a command. To begin with:\n"
		     "  ballast doctor\n"
		     "  ballast run examples/overcommit.ini\n");
}

static void print_page(const struct cli_command *command)
{
	printf("ballast %s - %s\n\nUsage:\n  ballast %s\n\n%s", command->name,
	       command->summary ? command->summary : "internal", command->synopsis, command->help);
}

static void print_keys(const char *section, const struct config_keys *keys)
{
	char allowed[160];

	printf("\n%s\n", section);
	for (u32 i = 0; i < keys->count; i++) {
		const struct config_key *key = &keys->keys[i];

		config_key_describe(key, allowed, sizeof(allowed));
		printf("  %-14s %s\n  %-14s %s", key->name, key->help, "", allowed);
		if (key->required)
			printf("; required");
		else if (key->preset && *key->preset)
			printf("; default %s", key->preset);
		putchar('\n');
	}
}

static void print_config_page(void)
{
	printf("A configuration file has one section for the host and one for each guest, or for\n"
	       "`count` guests alike. What is not understood is an error. docs/config.md tells more.\n");
	print_keys("[host]", &config_host_keys);
	print_keys("[policy]", &config_policy_keys);
	print_keys("[guest NAME]", &config_guest_keys);
	print_keys("[ksm]", &config_ksm_keys);
}

static enum cli_status help_main(int argc, char **argv)
{
	const struct cli_command *command;

	if (argc == 3 && strcmp(argv[1], "control") == 0 && strcmp(argv[2], "--markdown") == 0) {
		remote_print_attributes(stdout, true); /* for `make docs` */
		return CLI_OK;
	}
	if (argc > 2)
		return cli_misused("help", "one command at a time");
	if (argc < 2) {
		print_overview(stdout);
		return CLI_OK;
	}
	if (strcmp(argv[1], "config") == 0) {
		print_config_page();
		return CLI_OK;
	}
	if (strcmp(argv[1], "control") == 0) {
		printf("What a running host shows, and what of it can be changed: as files below\n"
		       "/run/ballast/HOST, by ballast get and set, as metrics. docs/control.md tells "
		       "more.\n");
		remote_print_attributes(stdout, false);
		return CLI_OK;
	}
	command = find_command(argv[1]);
	if (!command)
		return cli_misused("help", "there is no command %s", argv[1]);
	print_page(command);
	return CLI_OK;
}

enum cli_status cli_misused(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "ballast %s: ", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nballast %s --help says what it takes.\n", command);
	return CLI_USAGE;
}

enum cli_status cli_main(int argc, char **argv, const struct cli_command *const *more, u32 count)
{
	const struct cli_command *command;

	others = more;
	other_count = count;

	if (argc < 2) {
		print_overview(stderr);
		return CLI_USAGE;
	}
	if (asks_for_help(argv[1])) {
		print_overview(stdout);
		return CLI_OK;
	}
	command = find_command(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
	if (!command) {
		fprintf(stderr, "ballast: there is no command %s; ballast --help lists them.\n",
			argv[1]);
		return CLI_USAGE;
	}
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (asks_for_help(argv[i])) {
			print_page(command);
			return CLI_OK;
		}
	return command->run(argc - 1, argv + 1);
}
