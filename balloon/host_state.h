/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How short of memory the host is, in five states with the names and the levels of VMware ESXi:
 *
 *	high   enough                     clear  sharing only
 *	soft   balloons inflate           hard   memory is compressed and swapped out
 *	low    guests above their target wait
 *
 * A state is entered when free memory falls below its percentage of min_free, and left again only when
 * free memory has reached the percentage of the next better one. So what is free must move by a whole
 * band before a state follows it back, and noise never makes it flap.
 */
#ifndef BALLOON_HOST_STATE_H
#define BALLOON_HOST_STATE_H

#include "lib/types.h"

enum host_state { HOST_HIGH, HOST_CLEAR, HOST_SOFT, HOST_HARD, HOST_LOW, HOST_STATES };

struct host_levels {
	u64 min_free;	      /* bytes */
	u32 pct[HOST_STATES]; /* of min_free; falling. 400 100 64 32 16 */
};

/* The state that follows `now`, with so many bytes free. */
enum host_state host_state_next(enum host_state now, u64 free, const struct host_levels *levels);

/* Bytes free at which a state begins. */
u64 host_state_level(const struct host_levels *levels, enum host_state state);

/* Reads "400 100 64 32 16": five whole numbers from 1 to 10000, each less than the one before. Returns 0,
 * or -EINVAL and pct as it was. */
int host_state_parse(const char *text, u32 pct[HOST_STATES]);

const char *host_state_name(enum host_state state);

#endif
