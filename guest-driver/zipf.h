/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zipfian choice among n items: rank k comes with a probability proportional to 1 / (k+1)^theta. The
 * method is that of Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD
 * 1994, as YCSB uses it; like YCSB's "scrambled" variant, zipf_item spreads the popular ranks over
 * all items, so that hot items are not neighbours in memory.
 */
#ifndef GUEST_DRIVER_ZIPF_H
#define GUEST_DRIVER_ZIPF_H

#include "lib/types.h"

struct zipf {
	u64 items;
	double zeta;   /* sum of 1/k^theta for k = 1 .. items */
	double second; /* 1 + 1/2^theta: below it in units of zeta is rank 0 or 1 */
	double alpha;
	double eta;
};

/* items >= 1; theta_permille below 1000 (0 is uniform). Takes microseconds whatever the items. */
void zipf_init(struct zipf *zipf, u64 items, u32 theta_permille);

/* A rank in [0, items), 0 the most popular; random is a uniform 64-bit word. */
u64 zipf_rank(const struct zipf *zipf, u64 random);

/* The same, scrambled: an item in [0, items). */
u64 zipf_item(const struct zipf *zipf, u64 random);

#endif
