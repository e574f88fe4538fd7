/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the swap tests stand on: a host's memory with one guest space whose pages have descriptors
 * but no RAM behind them. "Resident" content is whatever page_fill() makes of a number, so a test
 * needs to remember only numbers to check all that comes back. Real region locks, real holds.
 */
#ifndef TESTS_UNIT_SWAP_RIG_H
#define TESTS_UNIT_SWAP_RIG_H

#include "mem/memory.h"
#include "mem/reclaimer.h"
#include "mem/source.h"
#include "mem/space.h"
#include "swap/inject.h"
#include "swap/swap.h"

#define RIG_FILE "build/swap-test"

struct rig {
	struct memory memory;
	struct space *space;
	struct swap *swap;
	struct page_source *compressed, *disk;
	struct reclaimer *writeback;
	char path[64];
	u64 *content; /* of each page: a number for page_fill(); the page's holder's */
};

/* What a page is like. */
enum content {
	CONTENT_TEXT,  /* shrinks to between a quarter and a half */
	CONTENT_NOISE, /* does not shrink */
};

/* Fills a page from a number, whose lowest bit is the enum content. */
void page_fill(u8 *page, u64 number);

/* A swap of these sizes (0: none) and a space of `pages`, all resident with content 0. Fails the test
 * if it cannot. `inject` may be NULL. */
void rig_create(struct rig *rig, u64 pages, u64 pool_bytes, u64 file_bytes,
		struct swap_inject *inject);

/* Forgets what is stored; checks that nothing is left over in pool, file and budget. */
void rig_destroy(struct rig *rig);

/* Holds a page for the caller; false when somebody else does. */
bool rig_hold(struct rig *rig, u32 index);
void rig_release(struct rig *rig, u32 index, struct page_word word);
struct page_word rig_word(struct rig *rig, u32 index);

/* Stores page `index`, held and resident, in the given source and flushes. Returns store's or flush's
 * result; *word is then the new word, else still the resident one. */
int rig_store(struct rig *rig, struct page_source *source, u32 index, struct page_word *word);

/* Loads a stored page, held, and checks its content; pages of odd numbers by patient loads. Returns the slot's result.
 * Does not invalidate. */
int rig_load(struct rig *rig, u32 index, struct page_word word);

/* rig_load() for several pages at once; results in results[]. Waits. Returns what load() did. */
int rig_load_many(struct rig *rig, struct page_source *source, const u64 *payloads, u32 count,
		  u8 *buffers, int *results);

/* Store or load, with hold and release around: 0 or -errno; -EBUSY when held. evict() tries the pool,
 * then the file, as mem/ does. fetch() leaves the page resident. */
int rig_evict(struct rig *rig, u32 index);
int rig_fetch(struct rig *rig, u32 index);

#endif
