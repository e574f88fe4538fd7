/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page table of a guest: one descriptor a page, and how many are in each state. The transition
 * functions below are the only writers of descriptors; each checks that what it is asked is legal,
 * because a page in the wrong state is a page lost.
 *
 *	hold -> (work, region unlocked) -> set -> release
 *
 * All but page_table_read() and page_table_count() want the lock of the page's region held.
 */
#ifndef MEM_PAGE_TABLE_H
#define MEM_PAGE_TABLE_H

#include <stdatomic.h>

#include "mem/page.h"

/* Ways of pages that are worth counting. */
enum page_flow {
	PAGE_FLOW_ZIP,	    /* into the pool */
	PAGE_FLOW_UNZIP,    /* out of it, back into memory */
	PAGE_FLOW_SWAP_OUT, /* to disk, from memory or from the pool */
	PAGE_FLOW_SWAP_IN,  /* from disk, back into memory */
	PAGE_FLOWS
};

struct page_table {
	u64 pages;
	_Atomic u64 *words;
	_Atomic u64 count[PAGE_STATES];
	_Atomic u64 flow[PAGE_FLOWS]; /* pages, total */
};

/* All pages start as PAGE_ZERO. Returns 0 or -ENOMEM. */
int page_table_create(struct page_table *table, u64 pages);
void page_table_destroy(struct page_table *table);

/* Memory the descriptors take, in bytes. */
u64 page_table_bytes(const struct page_table *table);

static inline struct page_word page_table_read(const struct page_table *table, u64 index)
{
	return (struct page_word){atomic_load_explicit(&table->words[index], memory_order_acquire)};
}

static inline u64 page_table_count(const struct page_table *table, enum page_state state)
{
	return atomic_load_explicit(&table->count[state], memory_order_relaxed);
}

/* Pages that went that way, in all. */
static inline u64 page_table_flow(const struct page_table *table, enum page_flow flow)
{
	return atomic_load_explicit(&table->flow[flow], memory_order_relaxed);
}

/* Makes the page busy: nobody else changes it until page_release(). It must not be busy. */
void page_hold(struct page_table *table, u64 index);

/* A guest waits for a busy page: its holder will be told by page_release(). */
void page_wait(struct page_table *table, u64 index);

/* The VMM dropped a busy page: page_word_void() tells its holder. */
void page_drop(struct page_table *table, u64 index);

/* Its guest has called the page free: 1 to 3; or it may have been written since: 0. */
void page_hint(struct page_table *table, u64 index, u32 hint);

/* A new state and payload for a page that the caller holds, and no hint. */
void page_set(struct page_table *table, u64 index, struct page_word word);

/* The VMM has mapped a frame in the place of a page that the caller holds, or the RAM file again.
 * No hint stays. */
void page_set_foreign(struct page_table *table, u64 index, bool foreign);

/* Ends page_hold(). Returns true when a guest waits and must be woken. */
bool page_release(struct page_table *table, u64 index);

#endif
