/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page descriptor: all that is known of one 4 KiB guest page, in one 8-byte word.
 *
 *   63                       12     11    10      9 8   7   6      5       4    3     0
 *   |        payload          | foreign | reserved | hint | void | waiter | busy | state |
 *
 * The payload belongs to the page source named by the state: a pool address, a place in the swap
 * file, a fill pattern. Eight bytes for 4096 keeps the metadata of a terabyte guest at 2 GiB, and a
 * word that is read atomically lets anyone count states without a lock.
 *
 * Words change only in page_table.c's transition functions, with the region's lock held. `busy`
 * says that some thread works on the page with the lock dropped; `waiter` that a guest touched it
 * meanwhile, so that whoever clears `busy` must wake the guest, and whoever wanted to take the page
 * away must leave it; `void` that its VMM dropped it meanwhile, so that whoever wanted to bring its
 * content back must not. `hint` is not 0 while the page is as it was when its guest called it free
 * (mem/drop.h). `foreign` says that its VMM has a shared frame mapped there, privately, and not the RAM
 * file: a page in that place is either SHARED, or RESIDENT in the VMM's own memory: private, because the guest has
 * written to it since, or own, because it lies between shared pages that are mapped in one piece (mem/remap.h).
 */
#ifndef MEM_PAGE_H
#define MEM_PAGE_H

#include "lib/types.h"

enum page_state {
	PAGE_ZERO,	 /* never touched, or all zero: no memory behind it */
	PAGE_RESIDENT,	 /* in the RAM file */
	PAGE_SHARED,	 /* payload: a frame shared by content */
	PAGE_SAME,	 /* payload: the 32-bit word the page repeats */
	PAGE_COMPRESSED, /* payload: address of a blob in the compressed pool */
	PAGE_DISK,	 /* payload: place of a blob in the swap file */
	PAGE_BALLOONED,	 /* given up by the guest: content is void */
	PAGE_STATES
};

struct page_word {
	u64 bits;
};

#define PAGE_STATE_MASK	   0xfULL
#define PAGE_BUSY	   (1ULL << 4)
#define PAGE_WAITER	   (1ULL << 5)
#define PAGE_VOID	   (1ULL << 6)
#define PAGE_HINT_SHIFT	   7
#define PAGE_HINT_MASK	   (3ULL << PAGE_HINT_SHIFT)
#define PAGE_HOLD_MASK	   (PAGE_BUSY | PAGE_WAITER | PAGE_VOID)
#define PAGE_FOREIGN	   (1ULL << 11)
#define PAGE_PAYLOAD_SHIFT 12
#define PAGE_PAYLOAD_BITS  52
/* In the payload of a foreign page that is RESIDENT: it never had a frame, and refers to none. */
#define PAGE_OWN (1ULL << 51)

static inline struct page_word page_word(enum page_state state, u64 payload)
{
	return (struct page_word){(u64)state | payload << PAGE_PAYLOAD_SHIFT};
}

static inline enum page_state page_word_state(struct page_word word)
{
	return (enum page_state)(word.bits & PAGE_STATE_MASK);
}

static inline u64 page_word_payload(struct page_word word)
{
	return word.bits >> PAGE_PAYLOAD_SHIFT;
}

static inline bool page_word_busy(struct page_word word)
{
	return word.bits & PAGE_BUSY;
}

static inline bool page_word_waiter(struct page_word word)
{
	return word.bits & PAGE_WAITER;
}

static inline bool page_word_void(struct page_word word)
{
	return word.bits & PAGE_VOID;
}

static inline u32 page_word_hint(struct page_word word)
{
	return (u32)((word.bits & PAGE_HINT_MASK) >> PAGE_HINT_SHIFT);
}

static inline bool page_word_foreign(struct page_word word)
{
	return word.bits & PAGE_FOREIGN;
}

/* In the VMM's own memory, and was never shared. */
static inline bool page_word_own(struct page_word word)
{
	return page_word_foreign(word) && page_word_state(word) == PAGE_RESIDENT &&
	       page_word_payload(word) & PAGE_OWN;
}

/* Refers to a frame. */
static inline bool page_word_shares(struct page_word word)
{
	return page_word_state(word) == PAGE_SHARED ||
	       (page_word_foreign(word) && !page_word_own(word));
}

/* Its content is in the RAM file. */
static inline bool page_word_at_home(struct page_word word)
{
	return page_word_state(word) == PAGE_RESIDENT && !page_word_foreign(word);
}

/* The same state and payload, whoever holds or waits for the page. */
static inline bool page_word_same(struct page_word a, struct page_word b)
{
	return !((a.bits ^ b.bits) & ~(PAGE_HOLD_MASK | PAGE_HINT_MASK));
}

/* Which page: `space` names a guest in the host's table, `index` counts pages of its RAM file. Small
 * enough to stand in the header of a stored blob. */
struct page_owner {
	u32 space;
	u32 index;
};

_Static_assert(sizeof(struct page_word) == 8, "a descriptor is one word");
_Static_assert(sizeof(struct page_owner) == 8, "an owner fits a blob header");
_Static_assert(PAGE_STATES <= PAGE_STATE_MASK + 1, "states fit their field");

#endif
