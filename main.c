/* SPDX-License-Identifier: Apache-2.0 */
/* One binary: the manager, every VMM that it starts, and the tools around them are its subcommands. */
#include "ctl/cli.h"

int main(int argc, char **argv)
{
	return (int)cli_main(argc, argv);
}
