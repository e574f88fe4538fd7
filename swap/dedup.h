/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cold duplicates: a page about to be stored whose content is in the pool already becomes a reference
 * to what is there, and costs neither compression nor space.
 *
 *	store    key = hash and sharing domain -> the content index (hints.h)
 *	  names an entry   take a reference, compare all bytes            (shared.h)
 *	  names a page     hold it (relocate.h), compare, make its blob an entry with two references
 *	  a page in work   cannot be looked at: what is stored now will be an entry from the start
 *	  nothing          store, and leave a hint
 *
 * A wrong hint costs a comparison and no more. Nothing is shared that was not compared byte by byte,
 * and nothing across domains.
 */
#ifndef SWAP_DEDUP_H
#define SWAP_DEDUP_H

#include <stdatomic.h>

#include "mem/source.h"
#include "swap/hints.h"
#include "swap/owner.h"

struct zpool;

struct dedup {
	struct owners owners; /* both set */
	struct zpool *pool;
	struct hints *hints;
	_Atomic u64 hits;	/* pages that became references, total */
	_Atomic u64 collisions; /* comparisons that found other content under the same hash */
};

enum dedup_result {
	DEDUP_NEW,	/* store it; then dedup_stored() */
	DEDUP_REPEATED, /* the same, but it seems to have a twin */
	DEDUP_SHARED,	/* page->payload is a reference: done */
};

/* Looks for the content of a page of this blob_hash(). Any thread, no lock held. */
enum dedup_result dedup_find(struct dedup *dedup, struct page_store *page, u64 hash);

/* After the page was stored in the pool, under page->payload: `found` is what dedup_find() said. The
 * payload may become another. */
void dedup_stored(struct dedup *dedup, struct page_store *page, u64 hash, enum dedup_result found);

/* For tests: only these bits of a hash count, so that collisions are everyday. All of them by default. */
extern u64 dedup_test_hash_mask;

/* For tests: share by the hash alone, or whatever the domain, and see what comes of it. */
extern bool dedup_test_skip_compare, dedup_test_skip_salt;

#endif
