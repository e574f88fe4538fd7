/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of stored pages on its way to a new place in the swap file. */
#include "swap/mover.h"

#include "swap/swapfile.h"
#include "swap/writer.h"
#include "swap/zpool.h"

void mover_init(struct mover *mover, const struct mover_stores *stores, bool from_reserve)
{
	mover->stores = stores;
	mover->from_reserve = from_reserve;
	mover->count = 0;
	mover->bytes = 0;
	mover->first = 0;
	mover->last = 0;
}

int mover_add(struct mover *mover, struct page_owner owner, struct page_word from,
	      const struct blob *blob)
{
	const struct owners *owners = &mover->stores->owners;
	struct encoded encoded;
	u64 place, segment;
	int err;

	err = owner_hold(owners, owner, from);
	if (err)
		return err;
	if (!blob)
		blob = zpool_blob(mover->stores->pool, page_word_payload(from));
	encoded.header = *blob;
	encoded.data = blob_data(blob);
	err = writer_append(mover->stores->writer, &encoded, mover->from_reserve, &place, &segment);
	if (err) {
		owner_let_go(owners, owner, from, from);
		return err;
	}
	mover->pages[mover->count].owner = owner;
	mover->pages[mover->count].from = from;
	mover->pages[mover->count++].to = page_word(PAGE_DISK, place);
	mover->bytes += blob_bytes(blob);
	if (!mover->first)
		mover->first = segment;
	mover->last = segment;
	return 0;
}

bool mover_full(const struct mover *mover)
{
	return mover->count == MOVER_PAGES || mover->bytes >= MOVER_BYTES;
}

/* Frees a place nobody points to any more; returns the bytes freed in the pool. */
static u32 forget(const struct mover_stores *stores, struct page_word word)
{
	if (page_word_state(word) == PAGE_COMPRESSED)
		return zpool_free(stores->pool, page_word_payload(word));
	swapfile_release(stores->file, page_word_payload(word));
	return 0;
}

int mover_finish(struct mover *mover, u64 *freed)
{
	const struct mover_stores *stores = mover->stores;
	int err;

	if (!mover->count)
		return 0;
	err = writer_wait(stores->writer, mover->first, mover->last);
	for (u32 i = 0; i < mover->count; i++) {
		struct page_word from = mover->pages[i].from, to = mover->pages[i].to;
		bool moved = owner_let_go(&stores->owners, mover->pages[i].owner, from,
					  err ? from : to) &&
			     !err;

		if (moved && stores->left_pool && page_word_state(from) == PAGE_COMPRESSED)
			atomic_fetch_add_explicit(stores->left_pool, 1, memory_order_relaxed);
		*freed += forget(stores, moved ? from : to);
	}
	mover_init(mover, stores, mover->from_reserve);
	return err;
}
