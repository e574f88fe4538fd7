/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fill brings pages of one window back together: hold them, take frames, load their content with
 * no lock held, and put them into the guest, each with its whole content or not at all. Fills from
 * memory end in the call; fills from disk end in the thread that the source calls back on, so many
 * can be in flight while the guest's handler goes on.
 */
#ifndef MEM_FILL_H
#define MEM_FILL_H

#include "mem/source.h"
#include "mem/space.h"

#define FILL_PAGES 32U /* at most so many at once: 128 KiB */

/* What is filled together: pages whose content is made up, at hand, or far away. */
enum fill_class { FILL_ZERO, FILL_MEMORY, FILL_SHARED, FILL_DISK, FILL_CLASSES };

/* Takes a frame for a page that a guest waits for, by reclaiming it if need be. Returns 0; -ENOMEM, there is none to be
 * had, and the guest has been told; -EAGAIN, its VMM has said something that must be read first (space_is_called()): let
 * the guest touch the page again. No lock held. */
int fill_take_frame(struct space *space, u64 index, enum budget_class class);

/* Which class a page in this state belongs to; FILL_CLASSES when there is nothing to bring back. */
enum fill_class fill_class_of(enum page_state state);

/*
 * Fills the pages of this class in [first, first + count), at most FILL_PAGES, all in one region,
 * that nobody holds. With `fault` one of them, a guest waits for that page: frames are found for it
 * whatever it takes, and it is woken; with `fault` == FILL_AHEAD it is a guess, given up when memory
 * is short. `began` is when the fault was read, for its latency. Takes the region's lock. Returns true
 * when the guest waits on after the call: the fill's end will say to space_waits() that it no longer does.
 */
#define FILL_AHEAD UINT64_MAX
bool fill_window(struct space *space, u64 first, u64 count, enum fill_class class, u64 fault,
		 u64 began);

/* Frees those of the buffers kept for fills to come that were not needed since the last time. By one thread, no lock held. */
void fill_trim(struct memory *memory);

/* Frees all. When no fill is under way. */
void fill_drain(struct memory *memory);

/* Records how long a fault on a page in that state took. */
void fill_record_latency(struct space *space, u64 index, enum page_state state, u64 began);

#endif
