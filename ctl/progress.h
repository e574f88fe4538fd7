/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows a run while it runs. On a terminal, one block of lines that is drawn anew in place; anywhere
 * else a plain line every few seconds, without a single escape.
 */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdio.h>

#include "ctl/outcome.h"

enum progress_style { PROGRESS_NONE, PROGRESS_LINES, PROGRESS_BLOCK };

struct progress;

/* BLOCK on a terminal that can move its cursor, else LINES. */
enum progress_style progress_style_for(FILE *stream);

/* `config` and `stream` must outlive it. Returns 0 or -ENOMEM. */
int progress_create(FILE *stream, enum progress_style style, const struct host_config *config,
		    struct progress **progress);

/* Shows this outcome, if it is time to show one again; `now_ns` is the monotonic clock's. */
void progress_show(struct progress *progress, const struct outcome *outcome, u64 now_ns);

/* Clears the block from the terminal and frees. NULL is fine. */
void progress_destroy(struct progress *progress);

#endif
