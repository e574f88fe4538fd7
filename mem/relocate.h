/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a store moves a page it holds: write-back from pool to disk, compaction, the swap file's
 * cleaner. The store finds the page by the owner in its blob header, holds it, copies, and commits;
 * a guest that touches the page meanwhile waits for the commit and then finds the new place.
 *
 *	if (!relocate_begin(host, owner, old))     // else the page has moved on: skip it
 *		... copy or write, no lock held ...
 *		relocate_end(host, owner, new);    // or `old` to leave it where it was
 */
#ifndef MEM_RELOCATE_H
#define MEM_RELOCATE_H

#include "mem/page.h"

struct memory;

/* Holds the page if its descriptor is exactly `expected` and nobody else holds it. Returns 0, or
 * -ESTALE when it is not (or the guest is gone), -EBUSY when held. Takes the region's lock briefly.
 * A page held keeps its guest's space alive: relocate_end() must follow, soon. */
int relocate_begin(struct memory *memory, struct page_owner owner, struct page_word expected);

/* Sets the descriptor of a page held by relocate_begin() and wakes a guest that waits for it. The
 * old payload is the caller's again, and so is invalidating it. Returns true when a guest waits. */
bool relocate_end(struct memory *memory, struct page_owner owner, struct page_word word);

/* The descriptor of a page of a space of which the caller holds a page, for stores that look for
 * neighbours to take along; PAGE_ZERO when there is no such page. Lock-free, so a hint only. */
struct page_word relocate_peek(struct memory *memory, struct page_owner owner);

/* The same for any page, of a space that may be gone. */
struct page_word relocate_look(struct memory *memory, struct page_owner owner);

/* The sharing domain of a page held by relocate_begin(). */
u32 relocate_salt(const struct memory *memory, struct page_owner owner);

#endif
