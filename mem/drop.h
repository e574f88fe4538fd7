/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages whose content nobody wants any more, because their guest said so: given up to a balloon, or
 * free. They are dropped wherever they are, in the RAM file or in a store, without being read; memory is
 * punched out in runs, a whole region in one stroke.
 *
 * A guest that touches such a page gets zeroes. That is its own affair: nothing here asks whether it is
 * still in use.
 */
#ifndef MEM_DROP_H
#define MEM_DROP_H

#include "mem/space.h"

/*
 * Drops the pages [first, first + count), which must be of the space. `to` says what they are then:
 * PAGE_BALLOONED, the guest will not touch them before drop_return(); or PAGE_ZERO, it may at any time.
 * Ballooned pages stay so. Waits for whoever holds a page. Takes regions' locks, one after the other;
 * any thread, with a reference to the space. Returns how many pages were dropped: less when a region
 * cannot be armed, or the guest has failed.
 */
u64 drop_pages(struct space *space, u64 first, u64 count, enum page_state to);

/* The guest takes pages back: those that are ballooned become PAGE_ZERO. Returns how many. */
u64 drop_return(struct space *space, u64 first, u64 count);

/*
 * The guest called the pages [first, first + count) free, in answer to question number `round`, which is
 * the last that was asked; but it may use them again at any time, even before we look. So a page is
 * dropped only when it is called free twice: the first time it is protected against writes and marked, and
 * what is then called free in answer to a *later* question, still marked, has not been written since before
 * that question. A write traps and takes the mark away, as does all else that brings the page back.
 * Returns how many were dropped.
 */
u64 drop_hinted(struct space *space, u64 first, u64 count, u32 round);

/* For the test that shows what the protection is for: leaves it out. */
extern bool drop_test_skip_protect;

#endif
