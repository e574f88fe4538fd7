/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast manager`: a manager whose guests other VMMs bring. */
#ifndef CTL_SERVICE_H
#define CTL_SERVICE_H

#include "ctl/cli.h"

extern const struct cli_command manager_command;

#endif
