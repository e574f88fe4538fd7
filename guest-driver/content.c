// SPDX-License-Identifier: Apache-2.0
/*
 * One hash decides everything about a piece: its high bits the kind, further mixing the rest. All
 * loops are simple enough for the compiler to keep a page below a microsecond.
 */
#include "guest-driver/content.h"
#include "guest-driver/memory.h"
#include "guest-driver/random.h"

#define NOISE_STEP  0xd1342543de82ef95ULL
#define NOISE_SCALE 0xaef17502108ef2d9ULL
#define SAME_STEP   0x9e3779b1U
#define BLOCK_WORDS 8
#define COMMON_RUN  16 /* pieces that are common, or not, together */
#define COMMON_SEED 0x636f6d6d6f6eULL

void content_init(struct content *content, const struct guest_args *args, u64 seed)
{
	content->seed = seed;
	content->common_below = args->common_percent;
	content->zero_below = args->zero_percent;
	content->same_below = content->zero_below + args->same_percent;
	content->random_below = content->same_below + args->random_percent;
}

/* Guests of different seeds agree on which runs they have in common, and on what is there. */
static u64 seed_of(const struct content *content, u64 piece)
{
	u64 draw = random_mix(COMMON_SEED ^ piece / COMMON_RUN * RANDOM_GAMMA);

	return random_scale(draw, 100) < content->common_below ? COMMON_SEED : content->seed;
}

static u64 piece_hash(const struct content *content, u64 piece, u32 version)
{
	return random_mix(random_mix(seed_of(content, piece) ^ piece * RANDOM_GAMMA) + version);
}

static enum content_kind kind_of(const struct content *content, u64 hash)
{
	u64 draw = random_scale(hash, 100);

	if (draw < content->zero_below)
		return CONTENT_ZERO;
	if (draw < content->same_below)
		return CONTENT_SAME;
	return draw < content->random_below ? CONTENT_RANDOM : CONTENT_DATA;
}

enum content_kind content_kind(const struct content *content, u64 piece, u32 version)
{
	return kind_of(content, piece_hash(content, piece, version));
}

/* Twice a 32-bit word that differs between any two versions of a piece. */
static u64 same_word(const struct content *content, u64 piece, u32 version)
{
	u32 word = (u32)random_mix(seed_of(content, piece) ^ piece * RANDOM_GAMMA) +
		   version * SAME_STEP;

	return (u64)word << 32 | word;
}

static const u8 *data_slice(const struct content *content, u64 hash, u32 bytes)
{
	return content->data + random_scale(random_mix(hash), content->data_bytes - bytes + 1);
}

/* Word i depends on nothing but i: no chain, so the CPU works on several at a time. */
static inline u64 noise_word(u64 hash, u64 i)
{
	u64 x = (hash + i * NOISE_STEP) * NOISE_SCALE;

	return x ^ (x >> 32);
}

static void fill_words(u64 *to, u32 words, u64 word)
{
	for (u32 i = 0; i < words; i++)
		to[i] = word;
}

static void fill_noise(u64 *to, u32 words, u64 hash)
{
	to[0] = hash;
	for (u32 i = 1; i < words; i++)
		to[i] = noise_word(hash, i);
}

static void fill_slice(u64 *to, u32 bytes, u64 hash, const u8 *slice)
{
	memcpy(to, slice, bytes);
	to[0] = hash;
}

void content_write(const struct content *content, void *to, u32 bytes, u64 piece, u32 version)
{
	u64 hash = piece_hash(content, piece, version);

	switch (kind_of(content, hash)) {
	case CONTENT_ZERO:
		memset(to, 0, bytes);
		return;
	case CONTENT_SAME:
		fill_words(to, bytes / 8, same_word(content, piece, version));
		return;
	case CONTENT_RANDOM:
		fill_noise(to, bytes / 8, hash);
		return;
	case CONTENT_DATA:
		fill_slice(to, bytes, hash, data_slice(content, hash, bytes));
		return;
	}
}

/* Differences are gathered by OR and looked at once a block: a branch a word would cost more. */
static bool words_are(const u64 *from, u32 words, u64 word)
{
	u32 i = 0;

	for (; i + BLOCK_WORDS <= words; i += BLOCK_WORDS) {
		u64 differ = 0;

		for (u32 j = 0; j < BLOCK_WORDS; j++)
			differ |= from[i + j] ^ word;
		if (differ)
			return false;
	}
	for (; i < words; i++) {
		if (from[i] != word)
			return false;
	}
	return true;
}

static bool words_are_noise(const u64 *from, u32 words, u64 hash)
{
	u64 differ = from[0] ^ hash;

	for (u32 i = 1; i < words; i++)
		differ |= from[i] ^ noise_word(hash, i);
	return !differ;
}

static bool words_are_slice(const u64 *from, u32 bytes, u64 hash, const u8 *slice)
{
	return from[0] == hash && !memcmp(from + 1, slice + 8, bytes - 8);
}

bool content_matches(const struct content *content, const void *from, u32 bytes, u64 piece,
		     u32 version)
{
	u64 hash = piece_hash(content, piece, version);

	switch (kind_of(content, hash)) {
	case CONTENT_ZERO:
		return words_are(from, bytes / 8, 0);
	case CONTENT_SAME:
		return words_are(from, bytes / 8, same_word(content, piece, version));
	case CONTENT_RANDOM:
		return words_are_noise(from, bytes / 8, hash);
	case CONTENT_DATA:
		return words_are_slice(from, bytes, hash, data_slice(content, hash, bytes));
	}
	return false;
}

#define WORD_LETTERS 12

/* A word of 2 .. 9 letters and a space; the same number gives the same word. */
static u32 make_word(u8 *to, u64 number)
{
	static const char letters[] = "etaoinshrdlucmfwypvbgkqjxz";
	u64 state = number;
	u32 length = 2 + (u32)random_below(&state, 8);

	/* The product of two draws favours the front of the list, as language does. */
	for (u32 i = 0; i < length; i++) {
		u64 high = random_below(&state, ARRAY_SIZE(letters) - 1);

		to[i] = (u8)letters[random_below(&state, high + 1)];
	}
	to[length++] = ' ';
	return length;
}

void content_make_text(u8 *to, u64 bytes, u64 seed)
{
	u64 state = seed, used = 0;
	u8 word[WORD_LETTERS];

	while (used < bytes) {
		/* Common words are common: a vocabulary of 128, its front drawn more often. */
		u64 number = random_below(&state, 1 + random_below(&state, 128));
		u64 length = make_word(word, number);

		length = MIN(length, bytes - used);
		memcpy(to + used, word, length);
		used += length;
	}
}
