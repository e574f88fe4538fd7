/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio memory balloon, the device's side (Virtio 1.2, section 5.5). It knows frames of guest-physical
 * memory and what the driver says of them; whoever owns that memory, behind balloon_host_ops, drops it. A
 * buffer goes back to the driver only when that is done.
 *
 * The queues are served by one thread, which calls balloon_serve() or balloon_run(). It touches guest
 * memory and waits for the owner, so no thread that either of them waits for may be it.
 */
#ifndef BALLOON_DEVICE_H
#define BALLOON_DEVICE_H

#include "balloon/abi.h"
#include "balloon/runs.h"
#include "virtio/mmio.h"

struct balloon;
struct balloon_host;

/* What a driver said of frames. */
enum balloon_drop {
	BALLOON_DROP_INFLATE, /* content is void; will not be used before DEFLATE */
	BALLOON_DROP_DEFLATE, /* taken back */
	BALLOON_DROP_FREE,    /* content is void; may be used again at any time */
	BALLOON_DROP_HINT,    /* free when this was said; perhaps written since */
	BALLOON_DROP_RESET,   /* the balloon is empty: all frames are taken back; no runs */
};

/* The driver's side, as far as it says. */
struct balloon_status {
	u32 target, actual; /* pages */
	u64 features;	    /* negotiated; 0: no driver */
	u64 stats_ns;	    /* when the values came; 0: never */
	u32 valid;	    /* which values there are, a bit for each */
	u64 values[BALLOON_STATS];
};

/* By the thread that serves, with no lock held. */
struct balloon_host_ops {
	/*
	 * Does what the driver said; returns when it is done, for the driver will be told so. The runs are
	 * disjoint and ascending (of FREE and HINT in any order), but may lie outside of RAM: that part is
	 * ignored. round: the order's hint_round that a HINT answers, else 0. Returns 0, or -errno
	 * when the owner is gone and nothing will be done any more.
	 */
	int (*drop)(struct balloon_host *host, enum balloon_drop what, u32 round,
		    const struct balloon_run *runs, u32 count);

	/* The status has changed. */
	void (*changed)(struct balloon_host *host, const struct balloon_status *status);
};

struct balloon_host {
	const struct balloon_host_ops *ops;
};

/* What the balloon should be. */
struct balloon_order {
	u32 target;   /* pages */
	u32 stats_ms; /* how often the driver is asked for statistics; 0: not at all */
	u32 hint_round; /* another number than before: the driver is asked for its free pages; 0: not */
};

/* Returns 0, -ENOMEM or -errno of eventfd(2). Both hosts stay the caller's. */
int balloon_create(struct virtio_host *machine, struct balloon_host *host,
		   struct balloon **balloon);

/* No thread serves it any more. */
void balloon_destroy(struct balloon *balloon);

/* Its registers, for vCPUs. */
struct virtio_mmio *balloon_mmio(struct balloon *balloon);

/* An eventfd that makes balloon_run() look at the queues: for doorbells. */
int balloon_doorbell(const struct balloon *balloon);

/* From any thread; never waits. */
void balloon_order(struct balloon *balloon, const struct balloon_order *order);

/* Does all there is to do, once. Returns in how many milliseconds there may be more without a doorbell;
 * -1: never. */
int balloon_serve(struct balloon *balloon);

/* Serves until balloon_stop(), or until its host's drop() fails. */
void balloon_run(struct balloon *balloon);

/* From any thread. What is under way ends first. */
void balloon_stop(struct balloon *balloon);

#endif
