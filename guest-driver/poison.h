// SPDX-License-Identifier: Apache-2.0
/*
 * Page poisoning: a guest that fills its free pages with a word of its own, to see who uses them. It says
 * so to the host (Virtio 1.2, PAGE_POISON), which then must not bring such a page back with anything
 * else. When a page is used again it is looked at: whatever else it holds was written by somebody
 * who had no business there, or was lost.
 */
#ifndef GUEST_DRIVER_POISON_H
#define GUEST_DRIVER_POISON_H

#include "lib/types.h"

struct guest_cpu;

/* A page becomes free. Does nothing in a guest that does not poison; nor does the other. */
void poison_fill(const struct guest_cpu *cpu, void *page);

/* A page that became free is used again; counts a failure when it is not as it was left. */
void poison_check(struct guest_cpu *cpu, const void *page);

#endif
