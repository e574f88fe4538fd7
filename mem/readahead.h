/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many pages to bring back when one is touched. A fault costs as much as twenty pages of
 * decompression, so guessing right is worth more than anything done faster; but a wrong guess costs
 * more still, because what was brought back for nothing must be compressed again.
 *
 * Faults that go on where an earlier window ended are a stream: each window is as long as all that
 * was read before it, up to a region. A fault that belongs to no stream starts one. Whether it starts
 * with a whole group or with its page alone follows from probes: starts with one page, whose stream
 * either goes on (the guest reads runs) or is forgotten (it reads at random). While most go on, one
 * start in eight is a probe and the others bring their group; else every start is one, but where memory is
 * sought. (Growing
 * windows are the idea of Linux's readahead; probes replace its accessed-bit hit counting, which an
 * outside manager cannot see.)
 *
 * Only the page of the fault is waited for. The rest of its window is pending, and is brought in pieces
 * while the guest wakes up and works: a sleeping vCPU needs longer to wake than eight pages to fill. A
 * fault in what is pending goes on from there, in larger pieces: this guest wakes faster, or the manager
 * was kept from the processor, and each further fault would cost it more than the pages.
 *
 * Pure: no memory, no locks, no clock. One caller at a time.
 */
#ifndef MEM_READAHEAD_H
#define MEM_READAHEAD_H

#include "lib/types.h"
#include "mem/region.h"

#define READAHEAD_STREAMS   8
#define READAHEAD_PENDING   4U
#define READAHEAD_MAX_PAGES REGION_PAGES

struct readahead_stream {
	u64 next;   /* first page after its last window */
	u32 window; /* pages of its last window; 0: unused */
	u32 total;  /* pages of all its windows */
	u32 used;   /* when it last went on, by readahead.faults */
	bool probe; /* started with one page, and has not gone on */
};

/* What is still to bring in of a window; empty when next == end. */
struct readahead_pending {
	u64 next, end;
	u32 done; /* pages brought in so far */
};

struct readahead {
	u32 limit; /* pages of a window, at most; set before each fault */
	struct readahead_stream streams[READAHEAD_STREAMS];
	u32 faults;
	u32 starts;
	u32 success; /* 0..1024: running share of probes that became streams */
	struct readahead_pending pending[READAHEAD_PENDING];
	u32 newest; /* of them */
};

struct readahead_window {
	u64 first;
	u64 count;
	bool stream; /* the fault went on a stream */
};

void readahead_init(struct readahead *readahead);

/* The window for a fault on page `index`: holds it, lies within its region. `least`: neighbours are known to be worth
 * their place, so many pages together; a power of two, at least a group. 0: nothing is known of them. */
struct readahead_window readahead_fault(struct readahead *readahead, u64 index, u32 least);

/* Puts pages [first, end) on the list of what is pending, before all that was there. The oldest of it is
 * forgotten. */
void readahead_defer(struct readahead *readahead, u64 first, u64 end);

/* A fault on a page that is pending: the piece of that window that begins with it. False when the page
 * is not pending. */
bool readahead_claim(struct readahead *readahead, u64 index, struct readahead_window *piece);

/* The next piece of what was put on the list last. False when nothing is pending. */
bool readahead_take(struct readahead *readahead, struct readahead_window *piece);

#endif
