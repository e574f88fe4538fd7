/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's fault handler: one thread that sleeps on the guest's userfaultfd, resolves what it reports,
 * and reads ahead while nobody waits. One per guest, so that no guest waits for another's faults.
 */
#ifndef MANAGER_HANDLER_H
#define MANAGER_HANDLER_H

#include "mem/space.h"

struct handler;

/* Starts the thread, on the space's NUMA node when it is bound to one. While faults follow each other
 * closely it stays awake for the next, poll_us microseconds at most; 0: never. Returns 0 or -errno. */
int handler_start(struct space *space, u32 poll_us, struct handler **handler);

/* Stops it; a fault it is resolving is finished first. NULL is fine. */
void handler_stop(struct handler *handler);

#endif
