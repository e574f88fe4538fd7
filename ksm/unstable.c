/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets of eight words, a cache line each: one miss a look. A word holds the page, 42 bits, and 22 bits of the
 * hash that the bucket's number does not hold.
 */
#include "ksm/unstable.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "mem/memory.h"

#define WAYS	   8U
#define TAG_BITS   22
#define INDEX_BITS 32

_Static_assert(MEMORY_MAX_SPACES <= 1U << (64 - TAG_BITS - INDEX_BITS), "a page fits a hint");

struct unstable {
	u64 mask; /* of buckets */
	u64 (*buckets)[WAYS];
};

struct unstable *unstable_create(u64 pages)
{
	struct unstable *unstable = calloc(1, sizeof(*unstable));
	u64 count = 64;

	if (!unstable)
		return NULL;
	while (count * WAYS < pages)
		count *= 2;
	unstable->mask = count - 1;
	unstable->buckets = mmap(NULL, unstable_bytes(unstable), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (unstable->buckets != MAP_FAILED)
		return unstable;
	free(unstable);
	return NULL;
}

void unstable_destroy(struct unstable *unstable)
{
	munmap(unstable->buckets, unstable_bytes(unstable));
	free(unstable);
}

u64 unstable_bytes(const struct unstable *unstable)
{
	return (unstable->mask + 1) * sizeof(unstable->buckets[0]);
}

/* Never 0, which is an empty place: 0 as a tag becomes 1. */
static u64 tag_of(u64 hash)
{
	u64 tag = hash >> (64 - TAG_BITS);

	return (tag ? tag : 1) << (64 - TAG_BITS);
}

static u64 word_of(u64 hash, struct page_owner page)
{
	return tag_of(hash) | (u64)page.space << INDEX_BITS | page.index;
}

static struct page_owner page_of(u64 word)
{
	return (struct page_owner){
		.space = (u32)(word >> INDEX_BITS) & (MEMORY_MAX_SPACES - 1),
		.index = (u32)word,
	};
}

void unstable_prefetch(const struct unstable *unstable, u64 hash)
{
	__builtin_prefetch(unstable->buckets[hash & unstable->mask]);
}

bool unstable_find(const struct unstable *unstable, u64 hash, struct unstable_query *query,
		   struct page_owner *found)
{
	const u64 *bucket = unstable->buckets[hash & unstable->mask];
	u64 self = word_of(hash, query->asker), tag = tag_of(hash);

	for (u32 i = 0; i < WAYS; i++) {
		if (bucket[i] >> (64 - TAG_BITS) != tag >> (64 - TAG_BITS) || bucket[i] == self ||
		    !query->match(query, page_of(bucket[i])))
			continue;
		*found = page_of(bucket[i]);
		return true;
	}
	return false;
}

void unstable_add(struct unstable *unstable, u64 hash, struct page_owner page)
{
	u64 *bucket = unstable->buckets[hash & unstable->mask];
	u64 word = word_of(hash, page);
	u32 place = (u32)(word % WAYS);

	for (u32 i = 0; i < WAYS; i++) {
		if (bucket[i] == word)
			return;
		if (!bucket[i])
			place = i;
	}
	bucket[place] = word;
}
