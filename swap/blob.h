/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob: one stored page with its header, in the pool and on disk alike, so that write-back moves
 * it as it is. The hash is of the plain content: it proves that what a guest gets back is what it
 * wrote, through codec, pool, packing and device. The owner tells a store that moves its blobs whose
 * descriptor to change.
 */
#ifndef SWAP_BLOB_H
#define SWAP_BLOB_H

#include "mem/page.h"

struct blob {
	struct page_owner owner;
	u32 hash;  /* of the plain page: XXH3, folded */
	u16 size;  /* bytes of data that follow, 1 to 4096 */
	u16 codec; /* enum codec_id */
};

_Static_assert(sizeof(struct blob) == 16, "on disk, and 0.8 % of the usual blob");

static inline const u8 *blob_data(const struct blob *blob)
{
	return (const u8 *)(blob + 1);
}

static inline u32 blob_bytes(const struct blob *blob)
{
	return (u32)sizeof(*blob) + blob->size;
}

/* A blob about to be stored: the header, and its data elsewhere (the page itself when raw). */
struct encoded {
	struct blob header;
	const void *data;
};

/* The hash of a plain page: XXH3, 64 bits; and the half of it that a header has room for. */
u64 blob_hash(const void *plain);
u32 blob_fold(u64 hash);

/*
 * Encodes a page, in at most max_bytes of data, or raw if it takes more. encoded->data points to the
 * page or to a buffer of this thread, good until its next call.
 *
 * A page that the pool turned away is encoded again by the disk source right after: that it did not
 * fit is remembered per thread, by the hash of the content.
 */
void blob_encode(const struct page_owner *owner, const void *plain, u32 acceleration, u32 max_bytes,
		 struct encoded *encoded);

/* The same for who has blob_hash(plain) already. */
void blob_encode_hashed(const struct page_owner *owner, const void *plain, u64 hash,
			u32 acceleration, u32 max_bytes, struct encoded *encoded);

/* Writes the blob to `to`, which has room for blob_bytes(&encoded->header). */
void blob_copy(void *to, const struct encoded *encoded);

/* Decodes a blob of which `room` bytes may be read, into the page `plain`. Returns 0, or -EBADMSG if
 * it is not what was once stored. Trusts nothing in the header. */
int blob_decode(const struct blob *blob, u64 room, void *plain);

/* Compares a blob, likewise, with a page. Returns 0: the same in all bytes; -ENOENT: another page;
 * -EBADMSG: the blob is no page at all. */
int blob_compare(const struct blob *blob, u64 room, const void *plain);

#endif
