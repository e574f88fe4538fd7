// SPDX-License-Identifier: Apache-2.0
/* What pieces of guest memory hold, and that nothing else passes for it. */
#include <criterion/criterion.h>
#include <lz4.h>
#include <string.h>

#include "guest-driver/content.h"
#include "guest-driver/random.h"

#define DATA_BYTES (256 * KiB)
#define PIECES	   400

static _Alignas(64) u8 data[DATA_BYTES];
static _Alignas(64) u64 page[PAGE_SIZE / 8];
static struct content content;

static void mixed_content(void)
{
	struct guest_args args = {.zero_percent = 25, .same_percent = 25, .random_percent = 25};

	content_make_text(data, DATA_BYTES, 1);
	content_init(&content, &args, 7);
	content.data = data;
	content.data_bytes = DATA_BYTES;
}

/* A piece of that kind at version 1, in page[]. */
static u64 write_kind(enum content_kind kind)
{
	u64 piece = 0;

	while (content_kind(&content, piece, 1) != kind)
		piece++;
	content_write(&content, page, PAGE_SIZE, piece, 1);
	return piece;
}

TestSuite(guest_content, .init = mixed_content);

Test(guest_content, what_was_written_matches_at_any_size)
{
	u8 *bytes = (u8 *)page;

	for (u64 piece = 0; piece < PIECES; piece++) {
		u32 size = 16 + 8 * (u32)(piece % 510);

		content_write(&content, bytes, size, piece, 3);
		cr_expect(content_matches(&content, bytes, size, piece, 3));
	}
}

Test(guest_content, any_flipped_bit_is_seen)
{
	for (u32 kind = CONTENT_ZERO; kind <= CONTENT_DATA; kind++) {
		u64 piece = write_kind(kind);

		for (u32 bit = 0; bit < PAGE_SIZE * 8; bit++) {
			page[bit / 64] ^= 1ULL << bit % 64;
			cr_expect_not(content_matches(&content, page, PAGE_SIZE, piece, 1));
			page[bit / 64] ^= 1ULL << bit % 64;
		}
		cr_expect(content_matches(&content, page, PAGE_SIZE, piece, 1));
	}
}

Test(guest_content, another_version_or_piece_never_passes_but_zero_for_zero)
{
	for (u64 piece = 0; piece < PIECES; piece++) {
		bool zero = content_kind(&content, piece, 1) == CONTENT_ZERO;

		content_write(&content, page, PAGE_SIZE, piece, 1);
		cr_expect_eq(content_matches(&content, page, PAGE_SIZE, piece, 2),
			     zero && content_kind(&content, piece, 2) == CONTENT_ZERO);
		cr_expect_eq(content_matches(&content, page, PAGE_SIZE, piece + 1, 1),
			     zero && content_kind(&content, piece + 1, 1) == CONTENT_ZERO);
	}
}

Test(guest_content, stale_is_seen_where_the_data_is_all_alike)
{
	struct guest_args args = {0};

	memset(data, 'x', DATA_BYTES);
	content_init(&content, &args, 7);
	for (u64 piece = 0; piece < PIECES; piece++) {
		content_write(&content, page, PAGE_SIZE, piece, 1);
		cr_expect_not(content_matches(&content, page, PAGE_SIZE, piece, 2));
	}
}

Test(guest_content, kinds_come_in_the_given_mix)
{
	u32 seen[CONTENT_DATA + 1] = {0};

	for (u64 piece = 0; piece < 100000; piece++)
		seen[content_kind(&content, piece, 1)]++;
	for (u32 kind = CONTENT_ZERO; kind <= CONTENT_DATA; kind++)
		cr_expect(seen[kind] > 24000 && seen[kind] < 26000, "%u: %u", kind, seen[kind]);
}

static int compressed_bytes(void)
{
	char packed[LZ4_COMPRESSBOUND(PAGE_SIZE)];

	return LZ4_compress_default((const char *)page, packed, PAGE_SIZE, sizeof(packed));
}

Test(guest_content, noise_does_not_compress)
{
	write_kind(CONTENT_RANDOM);
	cr_expect_geq(compressed_bytes(), (int)PAGE_SIZE);
}

Test(guest_content, own_text_is_about_halved)
{
	write_kind(CONTENT_DATA);
	cr_expect(compressed_bytes() > 1200 && compressed_bytes() < 3200, "%d bytes",
		  compressed_bytes());
}
