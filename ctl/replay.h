/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast replay`: what the policy would have decided in a recorded run, had it been set otherwise. */
#ifndef CTL_REPLAY_H
#define CTL_REPLAY_H

#include "ctl/cli.h"

extern const struct cli_command replay_command;

#endif
