/* SPDX-License-Identifier: Apache-2.0 */
/* One binary: the manager, every VMM that it starts, and the tools around them are its subcommands. */
#include "bench/overcommit/command.h"
#include "ctl/cli.h"

/* What may include all of the program cannot be in ctl/. */
static const struct cli_command *const commands[] = {&bench_command};

int main(int argc, char **argv)
{
	return (int)cli_main(argc, argv, commands, ARRAY_SIZE(commands));
}
