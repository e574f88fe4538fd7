/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a piece of guest memory must hold: a pure function of a seed, the piece's number and its
 * version, so that whoever reads it can tell right from wrong with nothing but the version at hand.
 *
 * Four kinds, drawn by percentage, are what real memory is made of: zeroes, one repeated 32-bit
 * word, slices of a data file at unaligned offsets, and noise that does not compress. Slices and
 * noise begin with a 64-bit stamp of (seed, piece, version), so a stale or misplaced piece is seen
 * even where the data repeats itself. (Zeroes in place of zeroes is all that can hide, and is no
 * damage.)
 */
#ifndef GUEST_DRIVER_CONTENT_H
#define GUEST_DRIVER_CONTENT_H

#include "guest-driver/abi.h"

enum content_kind { CONTENT_ZERO, CONTENT_SAME, CONTENT_RANDOM, CONTENT_DATA };

struct content {
	const u8 *data; /* data_bytes of it, at least as large as any piece */
	u64 data_bytes;
	u64 seed;
	u32 common_below; /* percentage of runs of pieces that are the same in all guests */
	u32 zero_below;	  /* cumulative percentages: the kind of a draw in 0 .. 99 */
	u32 same_below;
	u32 random_below;
};

void content_init(struct content *content, const struct guest_args *args, u64 seed);

/* The kind of this piece. */
enum content_kind content_kind(const struct content *content, u64 piece, u32 version);

/* Fills `to` with the piece; bytes is a multiple of 8, `to` aligned to 8. */
void content_write(const struct content *content, void *to, u32 bytes, u64 piece, u32 version);

/* True when `from` holds the piece, every byte of it. Same terms. */
bool content_matches(const struct content *content, const void *from, u32 bytes, u64 piece,
		     u32 version);

/*
 * Fills `to` with text from a small vocabulary, which LZ4 about halves page by page, as it does
 * the files of a Linux system: the data of guests that were given none.
 */
void content_make_text(u8 *to, u64 bytes, u64 seed);

#endif
