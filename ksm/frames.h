/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame store: the pages that the guests of one sharing domain have in common, in a memfd, each once. It is
 * the stable index too: a frame is found by the hash of its content, and its content never changes.
 *
 * A frame that is cold can leave memory: its content is stored as that of any page (the pool, and from there the
 * swap file), its place in the file punched out, which unmaps it everywhere; a guest that touches it waits until it
 * is brought back. Content never changes, so nothing has to be frozen for that, and no guest be asked.
 *
 * References are counted; the last one to go takes the frame along. Frames added one after the other lie
 * next to each other where there is room, so that a run of equal pages is a run of frames, which a VMM maps
 * in one piece. Every function may be called from any thread, with a region's lock held or without.
 */
#ifndef KSM_FRAMES_H
#define KSM_FRAMES_H

#include "lib/types.h"

struct frames;
struct memory;

struct frames_options {
	struct memory *memory; /* its budget, its stores */
	u32 salt;
	u64 capacity; /* pages */
	u32 node;
	bool bind;	 /* its memory shall come from that node */
	u32 max_sharing; /* references to one frame; more get another frame */
};

struct frames_stats {
	u64 frames;	/* there are, those that are stored included */
	u64 stored;	/* of them, not in memory */
	u64 left, came; /* totals: frames that left memory, and came back */
	u64 references; /* to them */
	u64 collisions; /* totals: equal hash, other content */
	u64 metadata_bytes;
};

/* Returns 0 or -errno. */
int frames_create(const struct frames_options *options, struct frames **frames);

/* No reference may be left. */
void frames_destroy(struct frames *frames);

/* The store's file, for reading alone; the store's. Frame i lies at i * PAGE_SIZE. */
int frames_fd(const struct frames *frames);

/* For which of up to 32 hashes, those of `asked`, there is a frame with room for a reference, a bit each: a hint. */
u32 frames_know(struct frames *frames, const u64 *hashes, u32 asked);

/* Finds the frame that holds these 4096 bytes, all of them compared, and takes a reference. Returns 0 or
 * -ENOENT. */
int frames_find(struct frames *frames, u64 hash, const void *plain, u32 *frame);

/* Makes a frame of these 4096 bytes, with one reference. Returns 0; -ENOMEM, the budget is used up; -ENOSPC,
 * the store is. */
int frames_add(struct frames *frames, u64 hash, const void *plain, u32 *frame);

/*
 * Where a sheet begins (mem/remap.h) that has the frames of most of a region's pages, those with a bit in `pages`, by
 * their hashes, each in its place: a hint; or with `make` one with nothing in it. Returns a frame's number, a multiple of
 * REGION_PAGES; FRAMES_NO_SHEET: there is none, or no room for a new one.
 */
#define FRAMES_NO_SHEET UINT32_MAX
u32 frames_choose_sheet(struct frames *frames, const u64 hashes[REGION_PAGES],
			const u64 pages[REGION_PAGES / 64], bool make);

/* Up to 32 pages next to each other, for frames next to each other: page i for frame first + i. */
struct frames_part {
	u32 first;
	const u8 *plain;   /* 4096 bytes each */
	const u64 *hashes; /* of those that are asked for */
};

/* frames_find() and frames_add() for these places, those of `asked`, a bit each: a frame is made where there is none and
 * `make` says so, and memory for all that may be made. Returns which pages have a reference now. */
u32 frames_share(struct frames *frames, const struct frames_part *part, u32 asked, u32 make);

/* Gives a reference back to each of `count` frames. */
void frames_put(struct frames *frames, u32 first, u32 count);

/* Copies 4096 bytes out of a frame that the caller has a reference to, after bringing it back if need be. Returns
 * as frames_bring(). No lock held. */
int frames_read(struct frames *frames, u32 frame, void *buffer);

/* hold, bring and release of mem/sharing.h. */
void frames_hold(struct frames *frames, u32 first, u32 count);
int frames_bring(struct frames *frames, u32 first, u32 count, bool wait);
void frames_release(struct frames *frames, u32 first, u32 count);

/* Stores up to `count` frames that nobody holds, in turn; those that came back since their last turn are spared.
 * Returns how many, 0 or -errno as a reclaimer does. No lock held. */
s64 frames_evict(struct frames *frames, u64 count);

/* For the test that shows what comparing is for: equal hashes pass for equal pages. */
extern bool frames_test_skip_compare;

/* References to a frame; for tests and for policy. */
u32 frames_references(struct frames *frames, u32 frame);

void frames_set_max_sharing(struct frames *frames, u32 max_sharing);

void frames_stats(struct frames *frames, struct frames_stats *stats);

#endif
