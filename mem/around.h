/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault-around. What the clock's front hand has unmapped the kernel maps again page by page, as it is touched: under KVM
 * in 3 to 20 us each, and for reading only. It would map sixteen at a time, but not where userfaultfd watches for writes
 * (do_fault_around(), mm/memory.c in the kernel tree). So what lies in one group with a page that is found in use is
 * mapped with it, while nobody wants memory; the clock judges groups then, not pages, and is told of it.
 */
#ifndef MEM_AROUND_H
#define MEM_AROUND_H

#include "mem/space.h"

/* Maps the groups of a region of which a page was touched since the clock unmapped it, and notes that they are in use; a
 * WHOLE region in small pages becomes one huge page when much of it was. `index` is any page of it. Returns how many
 * pages it mapped. No lock held. */
u32 around_map(struct space *space, u64 index);

#endif
