/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast run`: runs the guests of a configuration file to their end, and says how it went. */
#ifndef CTL_RUN_H
#define CTL_RUN_H

#include "ctl/cli.h"

extern const struct cli_command run_command;

#endif
