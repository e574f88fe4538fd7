/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content index: where content of a given hash was last seen. One word for each place, in buckets
 * of a cache line, with no chains and no locks: it forgets when a bucket overflows, and it may say
 * what has not been true for long. So a hint is only where to look; who follows it compares.
 *
 *	| value 43 | tag 21 |
 *
 * The tag is a part of the key, never 0; the bucket is chosen by another part. A word of 0 is empty.
 */
#ifndef SWAP_HINTS_H
#define SWAP_HINTS_H

#include "lib/types.h"

#define HINT_BITS 43
#define HINT_NONE (~0ULL)

struct budget;
struct hints;

/* Room for at least `count` hints, 8 bytes each, charged to the budget (NULL: none). 0 or -errno. */
int hints_create(u64 count, struct budget *budget, struct hints **hints);
void hints_destroy(struct hints *hints);

/* What it takes, in bytes. */
u64 hints_bytes(const struct hints *hints);

/* The key of content of this 64-bit hash in a sharing domain. */
u64 hints_key(u64 hash, u32 salt);

/* All three from any thread, lock-free. A value is less than 1 << HINT_BITS. */

/* The value last set for the key, or HINT_NONE. */
u64 hints_find(const struct hints *hints, u64 key);

/* Sets it; one hint for each key, the newest. May push another key's out. */
void hints_set(struct hints *hints, u64 key, u64 value);

/* Forgets the key if its value is still this. */
void hints_clear(struct hints *hints, u64 key, u64 value);

#endif
