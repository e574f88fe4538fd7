/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a stored blob is: one page's, or shared by many. Whoever moves blobs (write-back, compaction,
 * cleaner) finds the owner in the blob's header and holds it, whatever it is:
 *
 *	if (!owner_hold(owners, owner, from))      // else it has moved on, or another has it: skip
 *		... copy or write to a new place, no lock held ...
 *		moved = owner_let_go(owners, owner, from, to);
 *		// free `from` if it moved, `to` if not
 */
#ifndef SWAP_OWNER_H
#define SWAP_OWNER_H

#include "mem/page.h"

struct memory;
struct shared;

struct owners {
	struct memory *memory;
	struct shared *shared; /* NULL: nothing is shared */
};

/* Holds the blob at `from`: its page (relocate.h), or its entry (shared.h). 0, -ESTALE or -EBUSY. */
int owner_hold(const struct owners *owners, struct page_owner owner, struct page_word from);

/* Lets it go at its new place, or where it was, for to == from. Returns false when it stays at `from`
 * all the same. */
bool owner_let_go(const struct owners *owners, struct page_owner owner, struct page_word from,
		  struct page_word to);

#endif
