/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared blobs: stored content that several pages refer to. A blob of one page needs no description
 * but its page's descriptor; one of several has an entry here, 24 bytes, and the pages' payloads are
 * the number of the entry:
 *
 *	page ─┐                         blob in the pool
 *	page ─┼─▶ entry: place, refs ─▶    or
 *	page ─┘                         blob in the swap file
 *
 * So a blob moves by changing one word, whoever and however many its pages are. In the blob's header
 * the owner's space is SHARED_OWNER and its index the entry.
 *
 *	pages     each holds a reference, from shared_add() or shared_take() to shared_drop(). While a
 *	          page is held by its own store, load or drop, its reference keeps the entry.
 *	movers    shared_hold() .. shared_let_go(): one at a time. Nobody waits for a mover: until it
 *	          is done, the blob is still where it was.
 *	readers   a blob in the pool is copied out under the entry's lock. A read from the file pins
 *	          its place instead: a mover that finds a reader at the end leaves the blob there.
 *	the last  reference frees the place and the entry; or, when a mover has it, the mover does.
 *
 * Lock order: a region's lock, an entry's lock, a size class or the swap file.
 */
#ifndef SWAP_SHARED_H
#define SWAP_SHARED_H

#include "mem/page.h"
#include "swap/blob.h"

#define SHARED_OWNER	 0xffffffffU
#define SHARED_BLOB_ROOM (sizeof(struct blob) + PAGE_SIZE)

struct budget;
struct shared;
struct swapfile;
struct zpool;

struct shared_options {
	struct zpool *pool;
	struct swapfile *file; /* NULL: none */
	struct budget *budget; /* NULL: none; entries come out of it as reclaim's share */
	u64 max;	       /* entries */
};

struct shared_stats {
	u64 blobs;	 /* entries in use */
	u64 pages;	 /* references to them */
	u64 disk_pages;	 /* ... to those that are in the swap file */
	u64 saved_bytes; /* what the blobs would take once more for each reference but the first */
	u64 peak_saved_bytes;
	u64 bytes; /* memory of the entries */
};

int shared_create(const struct shared_options *options, struct shared **shared);

/* No entry may be left. */
void shared_destroy(struct shared *shared);

/* The payload of PAGE_COMPRESSED that names an entry, and back. The pool's own leave this bit 0. */
#define SHARED_PAYLOAD (1ULL << (PAGE_PAYLOAD_BITS - 1))

static inline u64 shared_payload(u32 number)
{
	return SHARED_PAYLOAD | number;
}

static inline bool payload_is_shared(u64 payload)
{
	return payload & SHARED_PAYLOAD;
}

static inline u32 payload_number(u64 payload)
{
	return (u32)payload;
}

/* In the header of a blob until it is an entry's: nobody can hold that. */
#define SHARED_NOBODY ((struct page_owner){SHARED_OWNER, UINT32_MAX})

static inline struct page_owner shared_owner(u32 number)
{
	return (struct page_owner){SHARED_OWNER, number};
}

/* An entry with `refs` references for a blob in the pool, which the caller has to itself; its header is
 * made to name the entry. Returns 0, or -ENOSPC: no entry left, or no memory for one. */
int shared_add(struct shared *shared, u64 pool_payload, u32 salt, u32 refs, u32 *number);

/*
 * Takes a reference for a page of this domain and copies the blob to `copy` (SHARED_BLOB_ROOM), if it
 * is in the pool and its hash is the same in the bits of `mask`; the caller then compares. Any number
 * will do, also of an entry long gone. False: there is no such blob.
 */
bool shared_take(struct shared *shared, u32 number, u32 salt, u32 hash, u32 mask,
		 struct blob *copy);

/* Gives a reference back. Never waits. */
void shared_drop(struct shared *shared, u32 number);

/*
 * For a page that holds a reference: copies the blob to `copy` and returns 0; or returns 1 with its
 * place in the swap file, which stays until shared_read_end().
 */
int shared_read(struct shared *shared, u32 number, struct blob *copy, u64 *place);
void shared_read_end(struct shared *shared, u32 number);

/* Takes the blob for a move, if it is at `from`. 0; -ESTALE: it is not; -EBUSY: another has it. */
int shared_hold(struct shared *shared, u32 number, struct page_word from);

/* The blob is at `to` now; or at `from` as before, for to == from. False: it stays at `from`, because it
 * is being read there. The other of the two places is the caller's to free. */
bool shared_let_go(struct shared *shared, u32 number, struct page_word from, struct page_word to);

/* Whether the blob was wanted since this was last asked: a second chance before write-back. */
bool shared_wanted(struct shared *shared, u32 number);

void shared_stats(struct shared *shared, struct shared_stats *stats);

/* For tests: reads from the file do not keep their place, and see what comes of it. */
extern bool shared_test_skip_pins;

#endif
