/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a page's content among what is stored. */
#include "swap/dedup.h"

#include <errno.h>

#include "mem/memory.h"
#include "mem/relocate.h"
#include "swap/shared.h"
#include "swap/zpool.h"

u64 dedup_test_hash_mask = ~0ULL;
bool dedup_test_skip_compare, dedup_test_skip_salt;

/* A hint: an entry, or the page that was stored with such content last. */
#define HINT_ENTRY (1ULL << (HINT_BITS - 1))

_Static_assert(MEMORY_MAX_SPACES <= 1 << (HINT_BITS - 1 - 32), "a page fits a hint");

static u64 hint_of_page(struct page_owner owner)
{
	return (u64)owner.space << 32 | owner.index;
}

static struct page_owner page_of_hint(u64 hint)
{
	return (struct page_owner){(u32)(hint >> 32), (u32)hint};
}

static void count(_Atomic u64 *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static u32 domain(u32 salt)
{
	return dedup_test_skip_salt ? 0 : salt;
}

static u64 key_of(const struct page_store *page, u64 hash)
{
	return hints_key(hash & dedup_test_hash_mask, domain(page->salt));
}

/* Which bits of the hash in a blob's header must be right. With fewer in the key, all of them would tell
 * apart what is meant to collide. */
static u32 header_mask(void)
{
	return ~dedup_test_hash_mask ? 0 : UINT32_MAX;
}

/* All bytes. A blob that is damaged is like no page. */
static bool same_content(struct dedup *dedup, const struct blob *blob, const void *plain)
{
	int result = dedup_test_skip_compare ? 0 : blob_compare(blob, SHARED_BLOB_ROOM, plain);

	if (result == -ENOENT)
		count(&dedup->collisions);
	return !result;
}

static bool share_entry(struct dedup *dedup, struct page_store *page, u64 hash, u32 number)
{
	_Alignas(struct blob) u8 room[SHARED_BLOB_ROOM];
	struct blob *copy = (struct blob *)room;

	if (!shared_take(dedup->owners.shared, number, domain(page->salt), blob_fold(hash),
			 header_mask(), copy))
		return false;
	if (!same_content(dedup, copy, page->plain)) {
		shared_drop(dedup->owners.shared, number);
		return false;
	}
	page->payload = shared_payload(number);
	return true;
}

/* The blob of a page that the caller holds becomes an entry, if it is the same. Returns the page's new
 * word, or the old. */
static struct page_word promote(struct dedup *dedup, struct page_store *page, u64 hash,
				struct page_owner owner, struct page_word word)
{
	u64 payload = page_word_payload(word);
	const struct blob *blob = zpool_blob(dedup->pool, payload);
	u32 number;

	if (domain(relocate_salt(dedup->owners.memory, owner)) != domain(page->salt) ||
	    (blob->hash ^ blob_fold(hash)) & header_mask() ||
	    !same_content(dedup, blob, page->plain) ||
	    shared_add(dedup->owners.shared, payload, domain(page->salt), 2, &number))
		return word;
	page->payload = shared_payload(number);
	return page_word(PAGE_COMPRESSED, page->payload);
}

/* The page of a hint, as far as it can be looked at without waiting. */
static enum dedup_result share_page(struct dedup *dedup, struct page_store *page, u64 hash,
				    struct page_owner owner)
{
	struct memory *memory = dedup->owners.memory;
	struct page_word word = relocate_look(memory, owner), now;
	int err;

	if (!page->unowned && owner.space == page->owner.space && owner.index == page->owner.index)
		return DEDUP_NEW;
	if (page_word_busy(word))
		return DEDUP_REPEATED;
	if (page_word_state(word) != PAGE_COMPRESSED)
		return DEDUP_NEW;
	if (payload_is_shared(page_word_payload(word)))
		return share_entry(dedup, page, hash, payload_number(page_word_payload(word)))
			       ? DEDUP_SHARED
			       : DEDUP_NEW;
	err = relocate_begin(memory, owner, word);
	if (err)
		return err == -EBUSY ? DEDUP_REPEATED : DEDUP_NEW;
	now = promote(dedup, page, hash, owner, word);
	relocate_end(memory, owner, now);
	return page_word_same(now, word) ? DEDUP_NEW : DEDUP_SHARED;
}

enum dedup_result dedup_find(struct dedup *dedup, struct page_store *page, u64 hash)
{
	u64 key = key_of(page, hash), hint = hints_find(dedup->hints, key);
	enum dedup_result result;

	if (hint == HINT_NONE)
		return DEDUP_NEW;
	if (hint & HINT_ENTRY)
		result = share_entry(dedup, page, hash, (u32)hint) ? DEDUP_SHARED : DEDUP_NEW;
	else
		result = share_page(dedup, page, hash, page_of_hint(hint));
	if (result == DEDUP_SHARED) {
		count(&dedup->hits);
		if (!(hint & HINT_ENTRY))
			hints_set(dedup->hints, key, HINT_ENTRY | payload_number(page->payload));
	}
	return result;
}

void dedup_stored(struct dedup *dedup, struct page_store *page, u64 hash, enum dedup_result found)
{
	u64 hint = hint_of_page(page->owner);
	u32 number;

	if (found == DEDUP_REPEATED &&
	    !shared_add(dedup->owners.shared, page->payload, domain(page->salt), 1, &number)) {
		page->payload = shared_payload(number);
		hint = HINT_ENTRY | number;
	}
	if (!page->unowned || hint & HINT_ENTRY)
		hints_set(dedup->hints, key_of(page, hash), hint);
}
