/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a page is written down in a blob. The number of a codec stands in every blob header, so a
 * number once given keeps its meaning; the table is all there is to add one.
 */
#ifndef SWAP_CODEC_H
#define SWAP_CODEC_H

#include "lib/types.h"

enum codec_id {
	CODEC_RAW, /* the page itself, where compressing does not pay */
	CODEC_LZ4,
	CODECS
};

struct codec {
	const char *name;

	/* Writes the page at `plain` to `out`; returns the bytes written, or 0 when they would be more
	 * than `capacity`. `acceleration`, from 1, trades ratio for speed where a codec can. */
	u32 (*compress)(const void *plain, void *out, u32 capacity, u32 acceleration);

	/* The reverse. Reads no more than `size` bytes, writes no more than a page, whatever the input:
	 * it comes from a disk. Returns 0, or -EBADMSG if it does not make exactly a page. */
	int (*decompress)(const void *in, u32 size, void *plain);
};

/* NULL for a number that names none. Callable from any thread. */
const struct codec *codec_find(u32 id);

#endif
