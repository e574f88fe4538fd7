/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's side of a guest's balloon: drops the pages that the guest gives up or calls free, answers,
 * and remembers what the guest says of itself. Dropping takes time, in proportion to what the guest asks
 * for, and may have to wait for a page under I/O; so it has a thread of its own, made when the first
 * DROP comes, and no other guest waits for it.
 */
#ifndef MANAGER_BALLOON_H
#define MANAGER_BALLOON_H

#include "attach/attach.h"
#include "mem/space.h"

struct guest_balloon;

/* How a balloon is. Sizes in bytes; what the guest says may be a lie. */
struct balloon_snapshot {
	u64 target;		       /* as ordered last */
	u64 actual;		       /* as the guest says */
	u64 features;		       /* negotiated, by number; 0: it has no driver */
	u64 inflated, deflated, freed; /* pages given up, taken back, reported free: our count */
	u64 hinted;		       /* ... dropped because they were called free twice */
	u64 stats_age_ms;	       /* UINT64_MAX: there never were any */
	u32 valid;		       /* which values there are, a bit for each */
	u64 values[ATTACH_STATS_TAGS]; /* by tag (enum balloon_stat) */
};

/* For a guest whose VMM is at the other end of `socket`. Both stay the caller's, and outlive it. NULL when
 * there is no memory. */
struct guest_balloon *guest_balloon_create(struct space *space, int socket);

/* Waits for its thread. NULL is fine. */
void guest_balloon_destroy(struct guest_balloon *balloon);

/* What follows is for the thread that serves the guest. */

/* Wants the guest to give up that many bytes, and its statistics every stats_ms milliseconds (0: never).
 * Returns 0 or -errno of the socket. */
int guest_balloon_order(struct guest_balloon *balloon, u64 target, u32 stats_ms);

/* Asks the guest for the pages that are free now. What it names twice in a row, and has not written
 * meanwhile, is dropped. Returns 0 or -errno of the socket. */
int guest_balloon_ask_free(struct guest_balloon *balloon);

/* Asks for free pages while memory is short, now and then: what is free need not be stored. To be called
 * often. */
void guest_balloon_tick(struct guest_balloon *balloon, u64 now);

/* Takes on a DROP. Returns 0, or -EPROTO and why. */
int guest_balloon_drop(struct guest_balloon *balloon, const struct attach_drop *drop,
		       const char **why);

void guest_balloon_take_stats(struct guest_balloon *balloon,
			      const struct attach_balloon_stats *stats);

void guest_balloon_snapshot(struct guest_balloon *balloon, struct balloon_snapshot *snapshot);

#endif
