/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast doctor`: what this host offers, what it lacks, and what each absence costs. */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include "ctl/cli.h"

extern const struct cli_command doctor_command;

#endif
