// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's free memory: pages that no workload has, handed out to the balloon in blocks of 2 MiB where
 * a whole block is free, else one by one. Of vCPU 0 alone.
 *
 * A page that was used since it was last reported as free still costs the host memory; `dirty` says so.
 */
#ifndef GUEST_DRIVER_FRAMES_H
#define GUEST_DRIVER_FRAMES_H

#include "guest-driver/abi.h"

struct guest_cpu;

enum frame_state {
	FRAME_CLEAN,	 /* free, and its memory is the host's */
	FRAME_REPORTED,	 /* the same, because we said so */
	FRAME_DIRTY,	 /* free, but was written */
	FRAME_REPORTING, /* the host is being told */
	FRAME_USED,
	FRAME_BALLOONED,
	FRAME_STATES
};

struct frames {
	u64 first; /* page number of the guest */
	u32 count;
	bool scatter;  /* give them in disorder */
	u32 scattered; /* how many places of that order were looked at */
	u32 reserve;   /* the last free pages, which the balloon does not get */
	u8 *state;     /* enum frame_state, of each */
	u8 *version;   /* of its content while it is used */
	u32 have[FRAME_STATES];
};

/* The memory from this guest address to the end of RAM. */
void frames_init(struct frames *frames, struct guest_cpu *cpu, u64 start);

/* Writes to all free pages. */
void frames_touch(struct frames *frames, struct guest_cpu *cpu);

void frames_set(struct frames *frames, u32 frame, enum frame_state state);

static inline bool frame_is_free(enum frame_state state)
{
	return state <= FRAME_DIRTY;
}

static inline u32 frames_free(const struct frames *frames)
{
	return frames->have[FRAME_CLEAN] + frames->have[FRAME_REPORTED] + frames->have[FRAME_DIRTY];
}

/* How many the balloon could have besides those it has. */
static inline u32 frames_spare(const struct frames *frames)
{
	u32 free = frames_free(frames);

	return free > frames->reserve ? free - frames->reserve : 0;
}

/* Chooses up to `most` free frames for the balloon, whole blocks first unless they go in disorder, and marks
 * them. Returns how many page numbers are in `pages`. */
u32 frames_inflate(struct frames *frames, u32 *pages, u32 most);

/* The same with frames that the balloon has and is to give back; they become free by frames_set(). */
u32 frames_deflate(const struct frames *frames, u32 *pages, u32 most);

/* Whole blocks that are free and dirty: marks up to `most` as being reported, and says where each begins. */
u32 frames_report(struct frames *frames, u32 *pages, u32 most);

/* Frames [first, first + *count) are free; *count is 0 when none is, from `from` on. */
u32 frames_find_free(const struct frames *frames, u32 from, u32 *count);

#endif
