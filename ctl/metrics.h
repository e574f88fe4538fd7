/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes that are numbers, for Prometheus (text format 0.0.4) over HTTP: GET /metrics. Names are
 * made from the attribute's path and unit: swap/written_bytes is ballast_swap_written_bytes_total,
 * vm/web/mem/zip is ballast_guest_mem_zip_bytes{guest="web"}. Times are in seconds, as Prometheus asks.
 */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include "ctl/control.h"

struct metrics;

/*
 * Answers at `address`: "127.0.0.1:9100", "[::1]:9100". Returns 0; or -errno, with a sentence in `why`.
 * `control` must outlive it.
 */
int metrics_start(struct control *control, const char *address, char *why, size_t size,
		  struct metrics **metrics);

/* NULL is fine. */
void metrics_stop(struct metrics *metrics);

/* All metrics, as they are sent. Returns 0 or -ENOMEM. */
int metrics_write(struct control *control, FILE *out);

/* The name of an attribute's metric; "" for one that is text. */
void metrics_name(const struct attr *attr, enum attr_scope scope, char *name, size_t size);

#endif
