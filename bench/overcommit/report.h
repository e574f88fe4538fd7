/* SPDX-License-Identifier: Apache-2.0 */
/* The report: report.json for programs, report.md to paste, report.html to read. */
#ifndef BENCH_OVERCOMMIT_REPORT_H
#define BENCH_OVERCOMMIT_REPORT_H

#include <stdio.h>

#include "bench/overcommit/results.h"

/* Writes all three into a folder, which is made if it is not there, and beside them the configuration
 * of each cell of Ballast's. Returns 0 or -errno, with the reason logged. */
int report_write_all(const char *folder, const struct results *results,
		     const struct cell_options *options);

/* Each to an open stream; errors stick to it. */
void report_json(FILE *stream, const struct results *results);
void report_markdown(FILE *stream, const struct results *results);
void report_html(FILE *stream, const struct results *results);

#endif
