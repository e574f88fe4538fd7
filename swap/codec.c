/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codecs: LZ4, and the page as it is. LZ4 keeps its hash table (16 KiB) per thread: one on the
 * stack would be touched anew, page by page, on every call from a different depth.
 */
#include "swap/codec.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>

static _Thread_local LZ4_stream_t lz4_state;

static u32 raw_compress(const void *plain, void *out, u32 capacity, u32 acceleration)
{
	(void)acceleration;
	if (capacity < PAGE_SIZE)
		return 0;
	memcpy(out, plain, PAGE_SIZE);
	return PAGE_SIZE;
}

static int raw_decompress(const void *in, u32 size, void *plain)
{
	if (size != PAGE_SIZE)
		return -EBADMSG;
	memcpy(plain, in, PAGE_SIZE);
	return 0;
}

static u32 lz4_compress(const void *plain, void *out, u32 capacity, u32 acceleration)
{
	return (u32)LZ4_compress_fast_extState(&lz4_state, plain, out, PAGE_SIZE, (int)capacity,
					       (int)acceleration);
}

static int lz4_decompress(const void *in, u32 size, void *plain)
{
	int made = LZ4_decompress_safe(in, plain, (int)size, PAGE_SIZE);

	return made == (int)PAGE_SIZE ? 0 : -EBADMSG;
}

static const struct codec codecs[CODECS] = {
	[CODEC_RAW] = {"raw", raw_compress, raw_decompress},
	[CODEC_LZ4] = {"lz4", lz4_compress, lz4_decompress},
};

const struct codec *codec_find(u32 id)
{
	return id < CODECS ? &codecs[id] : NULL;
}
