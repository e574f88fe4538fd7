/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs and blobs: what goes in comes out, and nothing else does. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "swap/blob.h"
#include "swap/codec.h"
#include "swap_rig.h"

#define MAX_BLOB 3072U

static const struct page_owner owner = {3, 14};

static struct blob *encode(u64 number, u8 *room)
{
	struct encoded encoded;
	u8 page[PAGE_SIZE];

	page_fill(page, number);
	blob_encode(&owner, page, 1, MAX_BLOB, &encoded);
	blob_copy(room, &encoded);
	return (struct blob *)room;
}

Test(swap_codec, every_codec_round_trips)
{
	u8 page[PAGE_SIZE], packed[PAGE_SIZE], back[PAGE_SIZE];

	page_fill(page, 2 | CONTENT_TEXT);
	for (u32 id = 0; id < CODECS; id++) {
		const struct codec *codec = codec_find(id);
		u32 size = codec->compress(page, packed, sizeof(packed), 1);

		cr_assert(size > 0 && size <= PAGE_SIZE, "%s", codec->name);
		cr_expect_eq(codec->decompress(packed, size, back), 0);
		cr_expect(!memcmp(page, back, PAGE_SIZE));
	}
	cr_expect_null(codec_find(CODECS));
}

Test(swap_codec, a_codec_keeps_to_its_capacity)
{
	_Alignas(16) u8 page[PAGE_SIZE], packed[512];

	page_fill(page, CONTENT_NOISE);
	memset(packed, 0xa5, sizeof(packed));
	for (u32 id = 0; id < CODECS; id++)
		cr_expect_eq(codec_find(id)->compress(page, packed, 256, 1), 0);
	for (u32 i = 256; i < sizeof(packed); i++)
		cr_assert_eq(packed[i], 0xa5);
}

Test(swap_codec, blobs_round_trip)
{
	_Alignas(16) u8 room[sizeof(struct blob) + PAGE_SIZE];
	u8 page[PAGE_SIZE], back[PAGE_SIZE];

	for (u64 number = 0; number < 64; number++) {
		struct blob *blob = encode(number, room);

		cr_expect_eq(blob->codec, (number & 1) == CONTENT_NOISE ? CODEC_RAW : CODEC_LZ4);
		cr_expect_eq(blob->owner.index, owner.index);
		cr_assert_eq(blob_decode(blob, sizeof(room), back), 0);
		page_fill(page, number);
		cr_assert(!memcmp(page, back, PAGE_SIZE));
	}
}

/* The encoder remembers its last page: it must not mistake another for it. */
Test(swap_codec, a_page_changed_in_place_is_encoded_anew)
{
	_Alignas(16) u8 room[sizeof(struct blob) + PAGE_SIZE];
	u8 page[PAGE_SIZE], back[PAGE_SIZE];
	struct encoded encoded;

	page_fill(page, 2);
	for (u32 i = 0; i < 100; i++) {
		page[i * 40]++;
		blob_encode(&owner, page, 1, MAX_BLOB, &encoded);
		blob_copy(room, &encoded);
		cr_assert_eq(blob_decode((struct blob *)room, sizeof(room), back), 0);
		cr_assert(!memcmp(page, back, PAGE_SIZE));
	}
}

/* XXH3 is no cryptographic hash: a guest can make two pages that share one. */
Test(swap_codec, pages_of_the_same_hash_keep_their_own_bytes)
{
	_Alignas(16) u8 room[sizeof(struct blob) + PAGE_SIZE];
	u8 page[PAGE_SIZE], back[PAGE_SIZE];
	struct encoded encoded;

	for (u64 number = 0; number < 8; number++) {
		page_fill(page, number);
		blob_encode_hashed(&owner, page, 42, 1, MAX_BLOB, &encoded);
		blob_copy(room, &encoded);
		blob_decode((struct blob *)room, sizeof(room), back);
		cr_expect(!memcmp(page, back, PAGE_SIZE), "page %lu", number);
	}
}

Test(swap_codec, a_limit_of_size_is_kept)
{
	struct encoded encoded;
	u8 page[PAGE_SIZE];

	page_fill(page, 4 | CONTENT_TEXT);
	blob_encode(&owner, page, 1, MAX_BLOB, &encoded);
	cr_assert_eq(encoded.header.codec, CODEC_LZ4);
	blob_encode(&owner, page, 1, encoded.header.size - 1, &encoded);
	cr_expect_eq(encoded.header.codec, CODEC_RAW);
	cr_expect_eq(encoded.data, page);
}

/* Any bit of content, hash, codec or size flipped is found; nothing is read or written out of bounds
 * (the address sanitizer's part). */
Test(swap_codec, damage_is_found)
{
	u8 back[PAGE_SIZE];

	for (u64 number = 2; number < 4; number++) {
		_Alignas(16) u8 whole[sizeof(struct blob) + PAGE_SIZE];
		u32 bytes = blob_bytes(encode(number, whole));

		for (u32 bit = 8 * 8; bit < bytes * 8; bit += bit < 128 ? 1 : 61) {
			u8 *room = malloc(bytes);

			memcpy(room, whole, bytes);
			room[bit / 8] ^= (u8)(1U << bit % 8);
			cr_assert_eq(blob_decode((struct blob *)room, bytes, back), -EBADMSG,
				     "bit %u", bit);
			free(room);
		}
	}
}

Test(swap_codec, a_blob_longer_than_its_room_is_refused)
{
	_Alignas(16) u8 room[sizeof(struct blob) + PAGE_SIZE];
	struct blob *blob = encode(2, room);
	u8 back[PAGE_SIZE];

	cr_expect_eq(blob_decode(blob, blob_bytes(blob) - 1, back), -EBADMSG);
	cr_expect_eq(blob_decode(blob, 8, back), -EBADMSG);
	cr_expect_eq(blob_decode(blob, blob_bytes(blob), back), 0);
}
