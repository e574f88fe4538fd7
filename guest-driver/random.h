/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that look random and can be made again: splitmix64 (Steele, Lea, Flood: "Fast splittable
 * pseudorandom number generators", OOPSLA 2014), one multiplication chain a number.
 */
#ifndef GUEST_DRIVER_RANDOM_H
#define GUEST_DRIVER_RANDOM_H

#include "lib/types.h"

#define RANDOM_GAMMA 0x9e3779b97f4a7c15ULL

/* A bijection of 64-bit words in which every input bit reaches every output bit. */
static inline u64 random_mix(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static inline u64 random_next(u64 *state)
{
	*state += RANDOM_GAMMA;
	return random_mix(*state);
}

/* Scales a random word to [0, limit) by its high bits (Lemire, 2019): no division. */
static inline u64 random_scale(u64 word, u64 limit)
{
	return (u64)(((unsigned __int128)word * limit) >> 64);
}

static inline u64 random_below(u64 *state, u64 limit)
{
	return random_scale(random_next(state), limit);
}

/* True for `percent` of 100 calls. */
static inline bool random_chance(u64 *state, u32 percent)
{
	return random_below(state, 100) < percent;
}

#endif
