/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding a page into a blob and back, with the check that goes with it. */
#include "swap/blob.h"

#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "swap/codec.h"

/* The last page of this thread that did not fit, told by its hash. Only that verdict is kept, never the
 * bytes: taken for another page of the same hash, all it costs is compression. */
struct last_poor {
	u64 hash;
	u32 acceleration, max_bytes;
	bool valid;
};

static _Thread_local struct last_poor poor;
static _Thread_local u8 packed[PAGE_SIZE];

u64 blob_hash(const void *plain)
{
	return hash_page(plain);
}

u32 blob_fold(u64 hash)
{
	return (u32)(hash ^ hash >> 32);
}

static bool is_poor(u64 hash, u32 acceleration, u32 max_bytes)
{
	return poor.valid && poor.hash == hash && poor.acceleration == acceleration &&
	       poor.max_bytes == max_bytes;
}

/* Returns the bytes in `packed`; 0: the page does not fit. */
static u32 pack(const void *plain, u64 hash, u32 acceleration, u32 max_bytes)
{
	u32 size;

	if (is_poor(hash, acceleration, max_bytes))
		return 0;
	size = codec_find(CODEC_LZ4)->compress(plain, packed, MIN(max_bytes, PAGE_SIZE - 1),
					       acceleration);
	if (!size)
		poor = (struct last_poor){hash, acceleration, max_bytes, true};
	return size;
}

void blob_encode_hashed(const struct page_owner *owner, const void *plain, u64 hash,
			u32 acceleration, u32 max_bytes, struct encoded *encoded)
{
	u32 size = pack(plain, hash, acceleration, max_bytes);

	encoded->header = (struct blob){
		.owner = *owner,
		.hash = blob_fold(hash),
		.size = size ? size : PAGE_SIZE,
		.codec = size ? CODEC_LZ4 : CODEC_RAW,
	};
	encoded->data = size ? packed : plain;
}

void blob_encode(const struct page_owner *owner, const void *plain, u32 acceleration, u32 max_bytes,
		 struct encoded *encoded)
{
	blob_encode_hashed(owner, plain, blob_hash(plain), acceleration, max_bytes, encoded);
}

void blob_copy(void *to, const struct encoded *encoded)
{
	memcpy(to, &encoded->header, sizeof(encoded->header));
	memcpy((u8 *)to + sizeof(encoded->header), encoded->data, encoded->header.size);
}

/* Without the check of its hash. */
static int unpack(const struct blob *blob, u64 room, void *plain)
{
	const struct codec *codec;

	if (room < sizeof(*blob) || room < blob_bytes(blob))
		return -EBADMSG;
	codec = codec_find(blob->codec);
	return codec && !codec->decompress(blob_data(blob), blob->size, plain) ? 0 : -EBADMSG;
}

int blob_decode(const struct blob *blob, u64 room, void *plain)
{
	if (unpack(blob, room, plain))
		return -EBADMSG;
	return blob_fold(blob_hash(plain)) == blob->hash ? 0 : -EBADMSG;
}

int blob_compare(const struct blob *blob, u64 room, const void *plain)
{
	u8 unpacked[PAGE_SIZE];

	if (unpack(blob, room, unpacked))
		return -EBADMSG;
	return memcmp(unpacked, plain, PAGE_SIZE) ? -ENOENT : 0;
}
