/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping shared frames in a guest, and its RAM file again. The manager cannot map anything in the VMM,
 * so it asks for a batch, and waits.
 *
 *	out   SHARED, nothing mapped        -> the VMM maps frames, privately -> register, protect, look
 *	sheet a region of which much is SHARED -> staged, moved in -> register, protect, look
 *	home  written or shared, protected  -> copied to the RAM file -> the VMM maps that -> register
 *	drop  given up by the guest         -> the VMM maps the RAM file  -> register, punch
 *
 * No write is lost on the way out. Until the VMM has mapped the frame a touch waits, because the page is
 * absent and busy. From then until the range is write-protected a write goes unseen, but the kernel copies
 * the frame for it; so *afterwards* the VMM's page map is looked at, and a page that is no longer the file's
 * is private. After the protection no write goes unseen, so the answer stays true.
 *
 * None is lost on the way home. The page is protected before it is copied, and busy, so writes wait; and
 * what the VMM then maps is the copy, in the RAM file, where a write belongs.
 *
 * A sheet is frames that lie in their file as the pages of a region do. One mapping then does for the region, where each
 * run of shared pages would take two; what is not shared, its own pages, lies between the frames as memory of the VMM's
 * own. The VMM maps it first beside guest memory, where the manager puts the own pages in, and moves it into the guest
 * when it is complete: all pages of a sheet are there, so that what is mapped but not registered yet can neither show
 * what another guest has in the same place, nor allocate anything.
 *
 * A page refers to its frame as long as a VMM has the frame mapped in its place, written or not: the frame
 * must not come to hold something else meanwhile.
 */
#ifndef MEM_REMAP_H
#define MEM_REMAP_H

#include "mem/space.h"

/* How long a VMM may take; its guest is stopped then, because nobody knows what it has mapped. Longer than
 * the manager needs to end several guests, seconds each on a busy machine: it reads no answers meanwhile. */
#define REMAP_PATIENCE_MS 30000

void remap_init(struct space *space);
void remap_exit(struct space *space);

/*
 * Maps the frames of the shared pages in the region of page `first`, at most `max_runs` runs of them (a
 * mapping each), the longest first. Returns how many pages are mapped now that were not, or -errno: -ENOTSUP
 * this VMM does not map frames, -EAGAIN nothing to map, -ESRCH the guest has failed. With no lock
 * held and a reference to the space, not by a thread that serves the VMM's messages.
 */
s64 remap_out(struct space *space, u64 first, u32 max_runs);

/* So many pages of a sheet are shared at once. */
#define SHEET_PART 32U

/* What a region shares with a sheet. */
struct sheet {
	u64 payload;	  /* of a SHARED page in its first place; those of the others follow */
	const u64 *pages; /* places to be shared, a bit each */
	u32 least;	  /* fewer are not worth it */
	u8 *copies; /* room for SHEET_PART pages: new memory would cost more than what is copied there */

	/*
	 * Of SHEET_PART pages, which go into the places from `place` on, those of `asked`, a bit each. Takes a reference for each
	 * that is like the frame in its place, or becomes it, and returns which. No lock held.
	 */
	u32 (*share)(const struct sheet *sheet, u32 place, const u8 *pages, u32 asked);
};

/*
 * Shares pages of the region of page `first` and maps it as a sheet, if all of its pages are in the RAM file or mapped out of
 * that sheet already. Takes memory for its own pages, and gives back what it had in the RAM file. Returns how many pages
 * are shared now that were not, or -errno: -EAGAIN a page is in use, or elsewhere, or too few are alike; -ENOMEM. Else
 * as remap_out(), and same terms.
 */
s64 remap_sheet(struct space *space, u64 first, const struct sheet *sheet);

/*
 * Brings written pages of the region home, and its own of a sheet; with `all` the shared ones too: they are RESIDENT then, in
 * the RAM file. Takes memory for copies. Returns how many pages came home, or -errno: -ENOMEM there was
 * no memory. Same terms.
 */
s64 remap_home(struct space *space, u64 first, bool all);

/*
 * Gives up pages in whose place frames are mapped, written or not, of [first, first + count), which lie in one
 * region: their content is void, nothing is copied, and the RAM file has nothing there. They are `to` then,
 * PAGE_ZERO or PAGE_BALLOONED. A guest that writes to them meanwhile may lose that. Returns how many, or
 * -errno: -EAGAIN all that are left are held. Same terms.
 */
s64 remap_drop(struct space *space, u64 first, u64 count, enum page_state to);

/*
 * Whether the VMM's memory has been read for longer than that takes: what it has mapped is not what it was asked to, and we wait
 * for a page that will not come. It must be killed then, and space_end() ends the waiting.
 */
bool remap_is_stuck(const struct space *space, u64 now_ns);

/* Ends such a waiting. The VMM is gone. */
void remap_end_reading(struct space *space);

/* For the tests that show what they are for: leave out protection, the look afterwards, faults on frames that left, what a
 * sheet has of its own when it is moved. */
extern bool remap_test_skip_protect;
extern bool remap_test_skip_own;
extern bool remap_test_skip_look;
extern bool remap_test_skip_missing;

#endif
