/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a run for machines: JSON, with names that docs/config.md promises to keep. */
#ifndef CTL_REPORT_H
#define CTL_REPORT_H

#include <stdio.h>

#include "ctl/outcome.h"

void report_write(FILE *stream, const struct outcome *outcome);

/*
 * Writes the report to `path`: whole, or not at all; what stood there before stays until then.
 * Returns 0 or -errno.
 */
int report_save(const char *path, const struct outcome *outcome);

#endif
