/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding a page into a blob and back, with the check that goes with it. */
#include "swap/blob.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "swap/codec.h"

struct last_encoded {
	u64 hash; /* of the plain page */
	u32 acceleration, max_bytes;
	u32 size; /* 0: does not fit max_bytes */
	bool valid;
	u8 data[PAGE_SIZE];
};

static _Thread_local struct last_encoded last;

static u32 fold(u64 hash)
{
	return (u32)(hash ^ hash >> 32);
}

static bool is_last(u64 hash, u32 acceleration, u32 max_bytes)
{
	return last.valid && last.hash == hash && last.acceleration == acceleration &&
	       last.max_bytes == max_bytes;
}

void blob_encode(const struct page_owner *owner, const void *plain, u32 acceleration, u32 max_bytes,
		 struct encoded *encoded)
{
	u64 hash = XXH3_64bits(plain, PAGE_SIZE);
	bool packed;

	if (!is_last(hash, acceleration, max_bytes)) {
		last.hash = hash;
		last.acceleration = acceleration;
		last.max_bytes = max_bytes;
		last.size = codec_find(CODEC_LZ4)->compress(
			plain, last.data, MIN(max_bytes, PAGE_SIZE - 1), acceleration);
		last.valid = true;
	}
	packed = last.size > 0;
	encoded->header = (struct blob){
		.owner = *owner,
		.hash = fold(hash),
		.size = packed ? last.size : PAGE_SIZE,
		.codec = packed ? CODEC_LZ4 : CODEC_RAW,
	};
	encoded->data = packed ? last.data : plain;
}

void blob_copy(void *to, const struct encoded *encoded)
{
	memcpy(to, &encoded->header, sizeof(encoded->header));
	memcpy((u8 *)to + sizeof(encoded->header), encoded->data, encoded->header.size);
}

int blob_decode(const struct blob *blob, u64 room, void *plain)
{
	const struct codec *codec;

	if (room < sizeof(*blob) || room < blob_bytes(blob))
		return -EBADMSG;
	codec = codec_find(blob->codec);
	if (!codec || codec->decompress(blob_data(blob), blob->size, plain))
		return -EBADMSG;
	return fold(XXH3_64bits(plain, PAGE_SIZE)) == blob->hash ? 0 : -EBADMSG;
}
