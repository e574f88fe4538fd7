/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Touching memory in a given order and timing each touch: by a thread of this process, or (vm.h) by
 * a vCPU. Times are in ticks of the time stamp counter, as the touching program reads them.
 */
#ifndef BENCH_ORDER_H
#define BENCH_ORDER_H

#include "lib/types.h"

#define ORDER_MAX 65536U /* touches at once */

struct order {
	u32 count;
	u32 run; /* pages touched one after the other before the next jump */
	u32 pages[ORDER_MAX];
	u32 ticks[ORDER_MAX]; /* out */
	u64 wall_ns;	      /* out: the whole pass */
};

/* Up to `count` pages of [first, end) (bounds of regions): aligned runs in random order, without
 * repetition; 0 as run: all in sequence. */
void order_make(struct order *order, u32 first, u32 end, u32 run, u32 count, u64 seed);

/* Up to `count` pages of [first, end), the first of every `stride`, in random order. */
void order_sparse(struct order *order, u32 first, u32 end, u32 stride, u32 count, u64 seed);

/* `count` pages anywhere in [first, end), with repetition. */
void order_random(struct order *order, u32 first, u32 end, u32 count, u64 seed);

/* Reads a byte of each page. */
void order_touch(struct order *order, const u8 *base);

struct ticks {
	double p50, p99, mean; /* us a page */
	u32 count;
};

/* Sums up touches from number `skip` on, runs of pages as one, divided by their length. Touches (or
 * runs) that took fewer us than `least` a page do not count. */
void order_sum_up(const struct order *order, u32 skip, double least_us, struct ticks *ticks);

double ticks_per_us(void);

#endif
