/* SPDX-License-Identifier: Apache-2.0 */
/* A userfaultfd and nothing else: the floor under every fault of ours. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "bench/order.h"

/* Touches `count` fresh pages of a memory file at random while another thread, asleep in between or
 * polling, fills each with a page at hand. Returns 0 or -errno. */
int bare_measure(bool polling, u32 count, struct ticks *ticks);

#endif
