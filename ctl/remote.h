/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that look at and change a host that runs. */
#ifndef CTL_REMOTE_H
#define CTL_REMOTE_H

#include <stdio.h>

#include "ctl/cli.h"

extern const struct cli_command get_command;
extern const struct cli_command set_command;
extern const struct cli_command ls_command;
extern const struct cli_command tree_command;
extern const struct cli_command watch_command;
extern const struct cli_command start_command;
extern const struct cli_command stop_command;

/* Prints the page `ballast help control`: every attribute, as docs/control.md has them. */
void remote_print_attributes(FILE *out, bool markdown);

#endif
