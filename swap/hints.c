/* SPDX-License-Identifier: Apache-2.0 */
/* The content index: a set-associative table of words. */
#include "swap/hints.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mem/budget.h"

#define BUCKET	 8U /* words in a cache line */
#define TAG_BITS 21
#define TAG_MASK ((1ULL << TAG_BITS) - 1)
#define TAG_LOW	 43 /* the key's bits from here on are the tag, the lowest 32 choose the bucket */

struct hints {
	u64 buckets;
	_Atomic u64 *words;
	struct budget *budget;
};

static u64 bytes_of(u64 buckets)
{
	return buckets * BUCKET * sizeof(u64);
}

u64 hints_bytes(const struct hints *hints)
{
	return bytes_of(hints->buckets);
}

int hints_create(u64 count, struct budget *budget, struct hints **result)
{
	struct hints *hints = calloc(1, sizeof(*hints));

	if (!hints)
		return -ENOMEM;
	hints->budget = budget;
	hints->buckets = MAX((count + BUCKET - 1) / BUCKET, 1UL);
	hints->words = mmap(NULL, hints_bytes(hints), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hints->words == MAP_FAILED) {
		free(hints);
		return -ENOMEM;
	}
	if (budget)
		budget_charge(budget, hints_bytes(hints));
	*result = hints;
	return 0;
}

void hints_destroy(struct hints *hints)
{
	munmap((void *)hints->words, hints_bytes(hints));
	if (hints->budget)
		budget_give(hints->budget, hints_bytes(hints));
	free(hints);
}

u64 hints_key(u64 hash, u32 salt)
{
	u64 z = hash ^ (salt + 1) * 0x9e3779b97f4a7c15ULL; /* splitmix64, Steele et al. 2014 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static u64 tag_of(u64 key)
{
	return key >> TAG_LOW ? key >> TAG_LOW : 1;
}

static _Atomic u64 *bucket_of(const struct hints *hints, u64 key)
{
	return &hints->words[((key & UINT32_MAX) * hints->buckets >> 32) * BUCKET];
}

/* The place of the key in its bucket, and the word there; NULL when it has none. */
static _Atomic u64 *place_of(const struct hints *hints, u64 key, u64 *word)
{
	_Atomic u64 *bucket = bucket_of(hints, key);

	for (u32 i = 0; i < BUCKET; i++) {
		*word = atomic_load_explicit(&bucket[i], memory_order_relaxed);
		if ((*word & TAG_MASK) == tag_of(key))
			return &bucket[i];
	}
	return NULL;
}

u64 hints_find(const struct hints *hints, u64 key)
{
	u64 word;

	return place_of(hints, key, &word) ? word >> TAG_BITS : HINT_NONE;
}

/* An empty place; else one that the new value picks: any will do, as long as it is not always the same. */
static _Atomic u64 *victim(const struct hints *hints, u64 key, u64 value)
{
	_Atomic u64 *bucket = bucket_of(hints, key);

	for (u32 i = 0; i < BUCKET; i++)
		if (!atomic_load_explicit(&bucket[i], memory_order_relaxed))
			return &bucket[i];
	return &bucket[(value * 0x9e3779b97f4a7c15ULL) >> 61];
}

void hints_set(struct hints *hints, u64 key, u64 value)
{
	u64 word;
	_Atomic u64 *place = place_of(hints, key, &word);

	if (!place)
		place = victim(hints, key, value);
	atomic_store_explicit(place, value << TAG_BITS | tag_of(key), memory_order_relaxed);
}

void hints_clear(struct hints *hints, u64 key, u64 value)
{
	u64 word;
	_Atomic u64 *place = place_of(hints, key, &word);

	if (place && word >> TAG_BITS == value)
		atomic_compare_exchange_strong(place, &word, 0);
}
