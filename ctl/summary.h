/* SPDX-License-Identifier: Apache-2.0 */
/* What remains of a run on the screen: a table of the guests, a few lines on the host, and OK or not. */
#ifndef CTL_SUMMARY_H
#define CTL_SUMMARY_H

#include <stdio.h>

#include "ctl/outcome.h"

/* At most 120 columns; of many guests, those that failed and the first few, and all of them summed. */
void summary_write(FILE *stream, const struct outcome *outcome);

/* The last line: "OK: ..." or "FAILED: ..." with the first reasons. */
void summary_verdict(FILE *stream, const struct outcome *outcome);

#endif
