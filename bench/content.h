/* SPDX-License-Identifier: Apache-2.0 */
/* What memory is filled with: real bytes, or pages that repeat one word. */
#ifndef BENCH_CONTENT_H
#define BENCH_CONTENT_H

#include "bench/bench.h"

/* Pages of real data that compress to three quarters or less and are not same-filled, so that all of
 * them go the way that is measured. */
struct content {
	u8 *bytes;
	u64 pages;
};

/* Loads the data named by the options. Returns 0, or -errno with the bench's note set. It stays until
 * the process ends. */
int content_open(struct bench *bench, struct content *content);

/* Fills pages [first, end) with it, again from the start when it is used up. */
void content_fill(const struct content *content, u8 *base, u64 first, u64 end);

/* ... with one word per page, never 0. */
void content_fill_same(u8 *base, u64 first, u64 end);

bool content_same_filled(const u8 *page);

#endif
