/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of numbers, as of the pages of a region: number i is bit i of a row of words. */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include "lib/types.h"

static inline bool bits_have(const u64 *bits, u64 i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static inline void bits_put(u64 *bits, u64 i, bool in)
{
	bits[i / 64] &= ~(1UL << i % 64);
	bits[i / 64] |= (u64)in << i % 64;
}

/* 32 numbers, from a multiple of 32 on. */
static inline u32 bits_part(const u64 *bits, u64 first)
{
	return (u32)(bits[first / 64] >> first % 64);
}

/* How many numbers below `limit`, a multiple of 64, are in the set. */
static inline u32 bits_count(const u64 *bits, u32 limit)
{
	u32 count = 0;

	for (u32 i = 0; i < limit / 64; i++)
		count += (u32)__builtin_popcountll(bits[i]);
	return count;
}

/* The next run of numbers below `limit` that are in the set: [*from, *end), searched from *end on. False: none is left. */
static inline bool bits_next_run(const u64 *bits, u32 limit, u32 *from, u32 *end)
{
	u32 i = *end;

	while (i < limit && !bits_have(bits, i))
		i++;
	*from = i;
	while (i < limit && bits_have(bits, i))
		i++;
	*end = i;
	return *from < i;
}

#endif
