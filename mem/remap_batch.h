/* SPDX-License-Identifier: Apache-2.0 */
/* One remap under way: what the ways out and home have in common, and nobody else needs. */
#ifndef MEM_REMAP_BATCH_H
#define MEM_REMAP_BATCH_H

#include <sys/uio.h>

#include "mem/remap.h"

/* Pages next to each other, whose frames are so too. */
struct run {
	u32 place, count;
	u64 frame;
};

/* One remap under way, of a region's pages by their place there. */
struct remap {
	struct space *space;
	struct region *region;
	u64 first;     /* of the region */
	bool home;     /* the RAM file is mapped, not frames */
	u32 low, high; /* only places in [low, high) */
	u32 count;
	struct run runs[SPACE_REMAP_MAX];
	bool broken[REGION_PAGES]; /* written before anyone could see it */
	struct page_word words[REGION_PAGES];
	u8 *buffer; /* home: for copies */
};

#define FOR_EACH_RUN(run, remap)                                                                   \
	for (struct run *run = (remap)->runs; run < (remap)->runs + (remap)->count; run++)

static inline u64 remap_hva(const struct remap *remap, const struct run *run)
{
	return space_hva(remap->space, remap->first + run->place);
}

/* The places from the first page of all runs to the last. */
struct span {
	u32 low, high;
};

struct span remap_span(const struct remap *remap);

static inline bool remap_was_own(const struct remap *remap, u32 place)
{
	return page_word_own(remap->words[place]);
}

static inline bool remap_was_private(const struct remap *remap, u32 place)
{
	return page_word_state(remap->words[place]) == PAGE_RESIDENT &&
	       !remap_was_own(remap, place);
}

/* Waits for the guest's turn, and begins with the region of page `first`. Returns 0, and remap_end() is due; or
 * -ENOTSUP its VMM does not map frames, -ESRCH the guest has failed, -ENOMEM. */
int remap_begin(struct space *space, u64 first, bool home, struct remap **begun);
void remap_end(struct remap *remap);

/* Chooses pages that can go this way now, in runs; home: with `all` those that nobody wrote, too. Region's
 * lock held, as for the next two. */
void remap_collect(struct remap *remap, bool all);

/* Makes the pages busy, and keeps their frames. */
void remap_hold(struct remap *remap);
void remap_release(struct remap *remap);

/* Brings the held pages' frames into memory: while the VMM's memory is read nobody may wait for a fault there,
 * since our pages are busy. Returns 0 or -errno. No lock held, as for all below but the counting. */
int remap_bring_frames(struct remap *remap);

/* Releases pages and frames, as they were. */
void remap_give_up(struct remap *remap);

/* Has the VMM map the runs, and waits for it. Returns 0, -ESRCH it is gone, -ETIMEDOUT, or other -errno. */
int remap_ask(struct remap *remap);
/* The same of other ranges. */
int remap_ask_for(struct space *space, const struct space_remap *ranges, u32 count);

/* Watches what the VMM has mapped, by one call: what lies between is watched already. Returns 0 or -errno. */
int remap_register(const struct remap *remap);

/* What became of watching the ranges that were mapped: `result`, or -ESRCH when the VMM is gone. */
int remap_watched(const struct remap *remap, int result);

/* Reads the VMM's memory, in the region. Returns 0, -ESRCH it is gone, or -EFAULT. */
int remap_read(struct remap *remap, struct iovec to, const struct iovec *from, u32 count);

/*
 * Finds the pages of the runs that are not a file's any more (`broken`): they were written before they were protected.
 * `mapped`: the VMM has most of them mapped. Returns 0 or -errno.
 */
int remap_look(struct remap *remap, bool mapped);

/* Stops the guest, after remap_ask() or watching failed with `error`: what its VMM has mapped is not known, or not
 * watched. */
void remap_condemn(struct remap *remap, int error);
/* ... and gives up. */
void remap_fail(struct remap *remap, int error);

u32 remap_pages(const struct remap *remap);

/* Mappings that the region's foreign pages take in the VMM, with what they cut apart. Region's lock held. */
s64 remap_mappings(const struct remap *remap);

/* So many more than before, or fewer. */
struct away {
	s64 foreign, private, own;
	s64 vmas; /* mappings */
};
void remap_count_away(struct space *space, const struct away *more);

/* Pages turned out to be broken. */
void remap_charge_broken(struct space *space, u32 pages);

#endif
