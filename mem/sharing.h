/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mem/ asks of whoever shares memory (ksm/), beside the page source of SHARED pages. A frame may have left
 * memory: its content is stored then, and the place where it is mapped is empty in every guest that has it. So
 * whoever needs frames in memory holds them, and has them brought.
 */
#ifndef MEM_SHARING_H
#define MEM_SHARING_H

#include "lib/types.h"

struct page_store;
struct reclaimer;
struct sharing;

/* `payload` is that of the first of `count` SHARED pages whose frames lie one after the other. */
struct sharing_ops {
	/* Keeps the frames, and in memory once they are there, until release(). For pages that refer to them:
	 * their region's lock is held, or they are busy by the caller. Never waits. */
	void (*hold)(struct sharing *sharing, u64 payload, u32 count);

	/*
	 * Brings frames that are held into memory. Returns 0; -ENOMEM, the budget is used up, with `wait` even
	 * after reclaim; -EIO or -EBADMSG, one is lost. No lock held; may wait for I/O.
	 */
	int (*bring)(struct sharing *sharing, u64 payload, u32 count, bool wait);

	void (*release)(struct sharing *sharing, u64 payload, u32 count);

	/* Gives up a reference to each: what invalidate() of their source does to one. No lock held. */
	void (*forget)(struct sharing *sharing, u64 payload, u32 count);

	/* Whether a frame has the content of a page that is about to be evicted: then page->payload refers to it, as that
	 * of a SHARED page, and has a reference. No lock held. */
	bool (*find)(struct sharing *sharing, struct page_store *page);

	/* Pages written in the place of frames shall come home soon. Any lock may be held. */
	void (*bring_home)(struct sharing *sharing);
};

struct sharing {
	const struct sharing_ops *ops;
	/* Takes cold frames out of memory: asked when the clock has nothing, or has to take what is in use. */
	struct reclaimer *frames;
};

/* References to frames that lie one after the other, to be given up together. */
struct sharing_run {
	u64 payload;
	u32 count;
};

static inline void sharing_forget_run(struct sharing *sharing, struct sharing_run *run)
{
	if (run->count)
		sharing->ops->forget(sharing, run->payload, run->count);
	run->count = 0;
}

/* Adds to a run, or ends it and begins another. No lock held. */
static inline void sharing_forget_later(struct sharing *sharing, struct sharing_run *run,
					u64 payload)
{
	if (run->payload + run->count != payload || run->count == REGION_PAGES)
		sharing_forget_run(sharing, run);
	if (!run->count)
		run->payload = payload;
	run->count++;
}

#endif
