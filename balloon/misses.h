/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a guest misses what was taken from it: its faults on stored pages a second, beside the average of the
 * host's guests. Pages that came with others do not count, or whoever is brought most would seem to miss most.
 *
 * Samples tell what a guest uses, but not what it would gain: of two guests that are short of memory the one that
 * misses less can give more. So the tax on idle memory (balloon/shares.h) is as set for a guest that misses its part,
 * and heavier for one that misses far less.
 */
#ifndef BALLOON_MISSES_H
#define BALLOON_MISSES_H

#include "lib/types.h"

#define MISSES_CALM_MAX 16U

struct misses {
	u64 missed; /* faults in all, at the last look */
	u64 at_ms;  /* when that was; 0: never */
	u64 per_ks; /* in a thousand seconds, over the last two seconds or so */
};

/* A look: so many faults there were in all. Any clock that only grows. */
void misses_look(struct misses *misses, u64 missed, u64 now_ms);

/*
 * How calm a guest is where `count` guests together miss all_per_ks: 1 when it misses an eighth of the average or
 * more, or when hardly anything is missed; MISSES_CALM_MAX when next to nothing of it is its. Shares say nothing
 * here, or more of them could mean less memory.
 */
u32 misses_calm(const struct misses *misses, u64 all_per_ks, u32 count);

#endif
