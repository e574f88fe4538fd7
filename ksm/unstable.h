/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unstable index: where a page with this hash was seen last. Its answers are hints, never more: the page may
 * have changed or gone since, and an entry may have been overwritten by another. So it needs no care when pages
 * change, and 8 bytes a page. (The kernel's KSM keeps a tree of all pages, ordered by content that may
 * change under it, hence the name; it takes 64 bytes a page.)
 *
 * One thread at a time.
 */
#ifndef KSM_UNSTABLE_H
#define KSM_UNSTABLE_H

#include "mem/page.h"

struct unstable;

/* With room for about `pages`. Returns NULL when there is no memory. */
struct unstable *unstable_create(u64 pages);
void unstable_destroy(struct unstable *unstable);

u64 unstable_bytes(const struct unstable *unstable);

/* Says that this hash will be looked for soon. */
void unstable_prefetch(const struct unstable *unstable, u64 hash);

/* Calls `match` with pages that were seen with this hash until it returns true; returns whether it did, and
 * the page in *found. `asker` is never offered to itself. */
struct unstable_query {
	struct page_owner asker;
	bool (*match)(struct unstable_query *query, struct page_owner page);
};
bool unstable_find(const struct unstable *unstable, u64 hash, struct unstable_query *query,
		   struct page_owner *found);

/* Remembers a page; where there is no room another is forgotten. */
void unstable_add(struct unstable *unstable, u64 hash, struct page_owner page);

#endif
