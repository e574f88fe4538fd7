/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The swap file, and which parts of it are in use. It is divided into extents of 256 KiB, each
 * written front to back; what is tracked is not blobs but how many bytes of an extent are alive. An
 * extent is free when nothing in it is. Free extents are handed out in ascending order, round and
 * round, so writes are sequential as long as the file has room.
 *
 * A blob's place, the payload of PAGE_DISK:
 *
 *	| tag 2 | size 12 | offset / 16: 38 |
 *
 * size: bytes of data, 0 for 4096. The tag is a part of the content's hash: with the size it tells a
 * blob from the one that was there before, should a device ever drop a write and say nothing.
 */
#ifndef SWAP_SWAPFILE_H
#define SWAP_SWAPFILE_H

#include "swap/blob.h"
#include "swap/inject.h"

#define EXTENT_BYTES   (256 * KiB)
#define SWAP_BLOCK     4096U /* offset, length and memory of every transfer are multiples */
#define SWAP_UNIT      16U
#define SWAP_MAX_BYTES (1ULL << 42)
/* Extents only the cleaner may take: to free some it must write first. */
#define EXTENTS_RESERVE 4U

struct swapfile;

struct swapfile_options {
	const char *path; /* in a folder we may write to; made anew */
	u64 bytes;	  /* limit, at most SWAP_MAX_BYTES */
	bool keep;	  /* leave the file behind, for a look at it */
	struct swap_inject *inject;
};

struct swapfile_stats {
	u64 blobs;
	u64 blob_bytes; /* data, without headers */
	u64 used_bytes; /* extents in use */
	u64 limit_bytes;
	u64 written_bytes, read_bytes, io_errors; /* totals */
	u64 full;				  /* times there was no free extent */
	u64 stalled_ns; /* so long writes have been under way and none has finished; 0: none is */
};

/* Creates the file. A path that holds anything but an old swap file is refused. Returns 0, or -errno
 * with the reason logged. */
int swapfile_create(const struct swapfile_options *options, struct swapfile **file);

/* Nothing may be in flight. */
void swapfile_destroy(struct swapfile *file);

int swapfile_fd(const struct swapfile *file);

/* Takes a free extent, pinned once. -ENOSPC when there is none (ordinary callers: but the reserve),
 * with a message now and then. */
int swapfile_take(struct swapfile *file, bool from_reserve, u32 *extent);

/* A pinned extent does not become free: somebody writes to it or reads all of it. */
void swapfile_pin(struct swapfile *file, u32 extent);
void swapfile_unpin(struct swapfile *file, u32 extent);

/* The place of a blob at this offset; it counts as alive until released. */
u64 swapfile_hold(struct swapfile *file, u64 offset, const struct blob *blob);
void swapfile_release(struct swapfile *file, u64 place);

/* The place of a blob at this offset, a multiple of SWAP_UNIT; and what it says. */
u64 place_make(u64 offset, const struct blob *blob);
u64 place_offset(u64 place);
u32 place_size(u64 place);
/* Could this blob have been stored at this place? */
bool place_matches(u64 place, const struct blob *blob);

/* Few extents are free, yet much in the others is dead: cleaning is due. */
bool swapfile_fragmented(struct swapfile *file);

/* Pins the extent with the least alive, if it is at most three quarters; -ENOENT when none is. */
int swapfile_sparsest(struct swapfile *file, u32 *extent);

/* Reads a whole extent, waiting for it. `buffer` is aligned to SWAP_BLOCK. 0 or -errno. */
int swapfile_read_extent(struct swapfile *file, u32 extent, u8 *buffer);

/* Bytes ordinary callers could still write. */
u64 swapfile_free_bytes(struct swapfile *file);

/* Every transfer passes these two: fault injection and counters. The second returns the result to go
 * on with. */
void swapfile_io_begin(struct swapfile *file, enum swap_io op, u64 offset, void *buffer,
		       u32 length);
s32 swapfile_io_end(struct swapfile *file, enum swap_io op, u64 offset, void *buffer, u32 length,
		    s32 result);

void swapfile_stats(struct swapfile *file, struct swapfile_stats *stats);

#endif
