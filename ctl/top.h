/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast top`: a host and its guests while they run, on a terminal or, with --batch, as CSV. */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "ctl/cli.h"

extern const struct cli_command top_command;

#endif
