/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: subcommands in one table, each with its usage and its page of help. Every function
 * here returns what the process exits with.
 */
#ifndef CTL_CLI_H
#define CTL_CLI_H

#include "lib/types.h"

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1, /* it was tried and did not go well: said on standard error */
	CLI_USAGE = 2,	/* the command line itself was wrong: nothing was done */
};

struct cli_command {
	const char *name;
	const char *summary;			       /* one line; NULL: internal, not listed */
	const char *synopsis;			       /* what follows "ballast " */
	const char *help;			       /* the page's body */
	enum cli_status (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

/* Runs the subcommand that argv[1] names: one of ours, or of `more`, a table of `count` that lives as
 * long. */
enum cli_status cli_main(int argc, char **argv, const struct cli_command *const *more, u32 count);

/* "ballast: <command>: <message>", and where to find help. Returns CLI_USAGE. */
enum cli_status cli_misused(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
