/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the frame store have in common, and nobody else.
 *
 *	HERE ──▶ LEAVING ──▶ STORED ──▶ COMING ──▶ HERE
 *
 * A frame in memory (HERE, LEAVING) is in the index. Who brings it back or stores it works without the lock, and
 * holds it meanwhile, so that the frame is still its own when the last reference goes; then whoever releases it
 * last takes the frame away.
 */
#ifndef KSM_FRAME_TABLE_H
#define KSM_FRAME_TABLE_H

#include <pthread.h>

#include "ksm/frames.h"

#define FRAME_NONE UINT32_MAX

enum frame_where { FRAME_HERE, FRAME_LEAVING, FRAME_STORED, FRAME_COMING };

struct frame {
	u64 hash;
	u64 place;	/* STORED: the payload of its blob */
	u32 references; /* of pages */
	u32 holders;	/* free when both are 0 */
	u32 next;	/* of the same bucket */
	u8 where;	/* enum frame_where */
	bool wanted;	/* it was brought back since the hand passed it */
};

/* What a frame takes beside its page: itself, and its share of the buckets. */
#define FRAME_METADATA (sizeof(struct frame) + sizeof(u32))
#define FRAME_MEMORY   (PAGE_SIZE + FRAME_METADATA)

struct frames {
	struct frames_options options;
	int fd, read_only;
	pthread_mutex_t lock; /* innermost but for the budget; guards all below */
	pthread_cond_t came;  /* some frame is no longer COMING */
	struct frame *table;  /* capacity of them */
	u32 *buckets;	      /* heads, FRAME_NONE: empty */
	u32 bucket_mask;
	u32 cursor; /* where the search for a free frame goes on */
	u32 top;    /* no frame from here on was ever used */
	u32 sheet_cursor; /* where the search for room for a sheet goes on */
	u32 hand;   /* which frame may leave next */
	struct frames_stats stats;
};

static inline bool frame_is_free(const struct frame *frame)
{
	return !frame->references && !frame->holders;
}

static inline bool frame_may_be_like(const struct frames *frames, const struct frame *frame,
				     u64 hash)
{
	return frame->hash == hash && frame->references < frames->options.max_sharing;
}

/* The first frame of a hash's chain. Lock held. */
static inline u32 *frame_bucket(struct frames *frames, u64 hash)
{
	return &frames->buckets[(hash ^ hash >> 32) & frames->bucket_mask];
}

/* Copies the content of frames that are in memory: it is looked at a few times, and to map pages for that costs more. False:
 * the file cannot be read. With the lock, or a hold. */
bool frames_copy(const struct frames *frames, u32 first, u32 count, void *buffer);

/* All with the lock held. */
void frame_link(struct frames *frames, u32 index);
void frame_unlink(struct frames *frames, u32 index);
void frame_punch(struct frames *frames, u32 index, u32 count);

/* Takes a reference to a frame, which has this content, for these 4096 bytes, if they are alike. */
bool frame_refer(struct frames *frames, u32 index, const void *plain, const void *content);

/* Makes frames next to each other, in places that are free, with a reference each. Their memory is the caller's to take.
 * Returns how many, the first ones: the file may take no more. */
u32 frames_make(struct frames *frames, u32 first, u32 count, const void *plain, const u64 *hashes);

/* Frames that nobody has any more. Those next to each other leave the file together: each hole interrupts the processors
 * that run guests. */
struct frames_gone {
	u32 first, count; /* still in the file, in nobody's reach while the lock is held */
	u64 memory;	  /* bytes to be given back to the budget */
};

/* Takes a frame away if nobody has it any more. Lock held, dropped meanwhile for a blob to be forgotten. */
void frame_settle(struct frames *frames, u32 index, struct frames_gone *gone);
/* Ends that, and drops the lock. */
void frames_unlock(struct frames *frames, struct frames_gone *gone);

#endif
