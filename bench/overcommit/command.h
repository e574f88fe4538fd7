/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast bench`: the benchmarks that are part of the program. */
#ifndef BENCH_OVERCOMMIT_COMMAND_H
#define BENCH_OVERCOMMIT_COMMAND_H

#include "ctl/cli.h"

extern const struct cli_command bench_command;

#endif
