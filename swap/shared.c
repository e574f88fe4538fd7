/* SPDX-License-Identifier: Apache-2.0 */
/* The table of shared blobs. */
#include "swap/shared.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/budget.h"
#include "swap/swapfile.h"
#include "swap/zpool.h"

bool shared_test_skip_pins;

/* Entries become usable, and are paid for, that many at a time: 96 KiB. */
#define GROWTH 4096U
#define LOCKS  64U

/* All members under the entry's lock, but: place is the next free entry while refs is 0 and nobody
 * moves it, under the table's lock. */
struct entry {
	u64 place; /* bits of a page word: in the pool, or in the file */
	u32 refs;  /* 0: free; or orphaned, if a mover has it */
	u32 salt;
	u32 readers; /* reads of the file under way */
	u16 size;    /* of the blob's data */
	bool moving;
	bool wanted;
};

_Static_assert(sizeof(struct entry) == 24, "three words, for content that several pages have");

struct entry_lock {
	_Alignas(64) pthread_mutex_t lock;
};

struct shared {
	struct shared_options options;
	struct entry *entries;
	struct entry_lock locks[LOCKS];
	pthread_mutex_t lock; /* the three below; within an entry's lock */
	u32 free;	      /* the first free entry, + 1 */
	u32 paid;	      /* entries up to here are paid for */
	_Atomic u32 fresh;    /* entries from here on were never used */
	_Atomic u64 blobs, pages, disk_pages, saved_bytes, peak_saved_bytes;
};

int shared_create(const struct shared_options *options, struct shared **result)
{
	struct shared *shared = aligned_alloc(64, sizeof(*shared));

	if (!shared)
		return -ENOMEM;
	memset(shared, 0, sizeof(*shared));
	shared->options = *options;
	shared->options.max = MIN(options->max, (u64)UINT32_MAX - 1);
	shared->entries =
		mmap(NULL, shared->options.max * sizeof(struct entry), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared->entries == MAP_FAILED) {
		free(shared);
		return -ENOMEM;
	}
	for (u32 i = 0; i < LOCKS; i++)
		pthread_mutex_init(&shared->locks[i].lock, NULL);
	pthread_mutex_init(&shared->lock, NULL);
	*result = shared;
	return 0;
}

void shared_destroy(struct shared *shared)
{
	assert(!atomic_load(&shared->blobs) && !atomic_load(&shared->pages));
	munmap(shared->entries, shared->options.max * sizeof(struct entry));
	if (shared->options.budget)
		budget_give(shared->options.budget, shared->paid * sizeof(struct entry));
	for (u32 i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&shared->locks[i].lock);
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

static struct entry *lock_entry(struct shared *shared, u32 number)
{
	pthread_mutex_lock(&shared->locks[number % LOCKS].lock);
	return &shared->entries[number];
}

static void unlock_entry(struct shared *shared, u32 number)
{
	pthread_mutex_unlock(&shared->locks[number % LOCKS].lock);
}

static void add(_Atomic u64 *counter, s64 by)
{
	atomic_fetch_add_explicit(counter, (u64)by, memory_order_relaxed);
}

static bool on_disk(const struct entry *entry)
{
	return page_word_state((struct page_word){entry->place}) == PAGE_DISK;
}

static void count_saved(struct shared *shared, s64 by)
{
	u64 saved = atomic_fetch_add_explicit(&shared->saved_bytes, (u64)by, memory_order_relaxed) +
		    (u64)by;
	u64 peak = atomic_load_explicit(&shared->peak_saved_bytes, memory_order_relaxed);

	while (by > 0 && saved > peak &&
	       !atomic_compare_exchange_weak(&shared->peak_saved_bytes, &peak, saved))
		;
}

/* All but the first reference save a blob. */
static s64 surplus(u32 refs)
{
	return refs ? (s64)refs - 1 : 0;
}

static void set_refs(struct shared *shared, struct entry *entry, u32 refs)
{
	s64 by = (s64)refs - (s64)entry->refs;

	count_saved(shared, (surplus(refs) - surplus(entry->refs)) *
				    (s64)(sizeof(struct blob) + entry->size));
	add(&shared->pages, by);
	if (on_disk(entry))
		add(&shared->disk_pages, by);
	entry->refs = refs;
}

/* Pays for more entries. Table's lock held. */
static bool grow(struct shared *shared)
{
	u32 more = (u32)MIN(GROWTH, shared->options.max - shared->paid);

	if (!more)
		return false;
	if (shared->options.budget &&
	    !budget_take(shared->options.budget, more * sizeof(struct entry), BUDGET_RECLAIM))
		return false;
	shared->paid += more;
	return true;
}

static bool take_number(struct shared *shared, u32 *number)
{
	bool taken = true;
	u32 fresh;

	pthread_mutex_lock(&shared->lock);
	fresh = atomic_load_explicit(&shared->fresh, memory_order_relaxed);
	if (shared->free) {
		*number = shared->free - 1;
		shared->free = (u32)shared->entries[*number].place;
	} else if (fresh < shared->paid || grow(shared)) {
		*number = fresh;
		atomic_store_explicit(&shared->fresh, fresh + 1, memory_order_release);
	} else {
		taken = false;
	}
	pthread_mutex_unlock(&shared->lock);
	return taken;
}

/* Entry's lock held; nobody refers to it. */
static void put_number(struct shared *shared, struct entry *entry)
{
	pthread_mutex_lock(&shared->lock);
	entry->place = shared->free;
	shared->free = (u32)(entry - shared->entries) + 1;
	pthread_mutex_unlock(&shared->lock);
}

int shared_add(struct shared *shared, u64 pool_payload, u32 salt, u32 refs, u32 *number)
{
	struct page_word place = page_word(PAGE_COMPRESSED, pool_payload);
	struct entry *entry;

	if (!take_number(shared, number))
		return -ENOSPC;
	entry = lock_entry(shared, *number);
	assert(!entry->refs && !entry->moving && !entry->readers);
	entry->place = place.bits;
	entry->salt = salt;
	entry->size = zpool_blob(shared->options.pool, pool_payload)->size;
	entry->wanted = false;
	add(&shared->blobs, 1);
	set_refs(shared, entry, refs);
	zpool_set_owner(shared->options.pool, pool_payload, shared_owner(*number));
	unlock_entry(shared, *number);
	return 0;
}

/* Entry's lock held, blob in the pool. What the header says of its size is not believed. */
static void copy_out(const struct shared *shared, const struct entry *entry, struct blob *copy)
{
	u64 payload = page_word_payload((struct page_word){entry->place});

	memcpy(copy, zpool_blob(shared->options.pool, payload), sizeof(*copy) + entry->size);
	copy->size = entry->size;
}

static bool exists(struct shared *shared, u32 number)
{
	return number < atomic_load_explicit(&shared->fresh, memory_order_acquire);
}

static bool may_take(const struct shared *shared, const struct entry *entry, u32 salt, u32 hash,
		     u32 mask)
{
	u64 payload = page_word_payload((struct page_word){entry->place});

	return entry->refs && entry->refs < UINT32_MAX && entry->salt == salt && !on_disk(entry) &&
	       !((zpool_blob(shared->options.pool, payload)->hash ^ hash) & mask);
}

bool shared_take(struct shared *shared, u32 number, u32 salt, u32 hash, u32 mask, struct blob *copy)
{
	struct entry *entry;
	bool taken;

	if (!exists(shared, number))
		return false;
	entry = lock_entry(shared, number);
	taken = may_take(shared, entry, salt, hash, mask);
	if (taken) {
		set_refs(shared, entry, entry->refs + 1);
		entry->wanted = true;
		copy_out(shared, entry, copy);
	}
	unlock_entry(shared, number);
	return taken;
}

/* Frees a place that nobody refers to. */
static void forget(const struct shared *shared, struct page_word place)
{
	if (page_word_state(place) == PAGE_DISK)
		swapfile_release(shared->options.file, page_word_payload(place));
	else
		zpool_free(shared->options.pool, page_word_payload(place));
}

/* Ends an entry that has no reference left. Entry's lock held; returns its place, to forget. */
static struct page_word end_entry(struct shared *shared, struct entry *entry)
{
	struct page_word place = {entry->place};

	assert(!entry->refs && !entry->readers);
	add(&shared->blobs, -1);
	put_number(shared, entry);
	return place;
}

void shared_drop(struct shared *shared, u32 number)
{
	struct entry *entry = lock_entry(shared, number);
	struct page_word place;
	bool last;

	assert(entry->refs);
	set_refs(shared, entry, entry->refs - 1);
	last = !entry->refs && !entry->moving;
	if (last)
		place = end_entry(shared, entry);
	unlock_entry(shared, number);
	if (last)
		forget(shared, place);
}

int shared_read(struct shared *shared, u32 number, struct blob *copy, u64 *place)
{
	struct entry *entry = lock_entry(shared, number);
	bool disk = on_disk(entry);

	assert(entry->refs);
	entry->wanted = true;
	if (disk) {
		entry->readers += !shared_test_skip_pins;
		*place = page_word_payload((struct page_word){entry->place});
	} else {
		copy_out(shared, entry, copy);
	}
	unlock_entry(shared, number);
	return disk;
}

void shared_read_end(struct shared *shared, u32 number)
{
	struct entry *entry = lock_entry(shared, number);

	assert(entry->readers || shared_test_skip_pins);
	entry->readers -= !shared_test_skip_pins;
	unlock_entry(shared, number);
}

int shared_hold(struct shared *shared, u32 number, struct page_word from)
{
	struct entry *entry;
	int result = 0;

	if (!exists(shared, number))
		return -ESTALE;
	entry = lock_entry(shared, number);
	if (!entry->refs || entry->place != from.bits)
		result = -ESTALE;
	else if (entry->moving || entry->readers)
		result = -EBUSY;
	else
		entry->moving = true;
	unlock_entry(shared, number);
	return result;
}

static void set_place(struct shared *shared, struct entry *entry, struct page_word place)
{
	bool disk = on_disk(entry);

	entry->place = place.bits;
	if (on_disk(entry) != disk)
		add(&shared->disk_pages, disk ? -(s64)entry->refs : (s64)entry->refs);
}

bool shared_let_go(struct shared *shared, u32 number, struct page_word from, struct page_word to)
{
	struct entry *entry = lock_entry(shared, number);
	bool stays, last;
	struct page_word place;

	assert(entry->moving && entry->place == from.bits);
	entry->moving = false;
	stays = entry->readers && to.bits != from.bits;
	if (!stays)
		set_place(shared, entry, to);
	last = !entry->refs;
	if (last)
		place = end_entry(shared, entry);
	unlock_entry(shared, number);
	if (last)
		forget(shared, place);
	return !stays;
}

bool shared_wanted(struct shared *shared, u32 number)
{
	struct entry *entry;
	bool wanted;

	if (!exists(shared, number))
		return false;
	entry = lock_entry(shared, number);
	wanted = entry->wanted && entry->refs > 1;
	entry->wanted = false;
	unlock_entry(shared, number);
	return wanted;
}

void shared_stats(struct shared *shared, struct shared_stats *stats)
{
	*stats = (struct shared_stats){
		.blobs = atomic_load(&shared->blobs),
		.pages = atomic_load(&shared->pages),
		.disk_pages = atomic_load(&shared->disk_pages),
		.saved_bytes = atomic_load(&shared->saved_bytes),
		.peak_saved_bytes = atomic_load(&shared->peak_saved_bytes),
	};
	pthread_mutex_lock(&shared->lock);
	stats->bytes = shared->paid * sizeof(struct entry);
	pthread_mutex_unlock(&shared->lock);
}
