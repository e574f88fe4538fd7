/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes down a run: what the policy saw and decided at each step, and every fault. Whoever has something
 * to say leaves it in memory of a fixed size and goes on; a thread of the recorder's own writes it to
 * the file. When the disk does not follow, or is full, what finds no room is dropped and counted, and
 * the run goes on.
 */
#ifndef MANAGER_RECORDER_H
#define MANAGER_RECORDER_H

#include "manager/record.h"
#include "mem/memory.h"

struct recorder;

/*
 * Makes the file anew and starts the thread. Faults of all spaces of `memory` are recorded from now on.
 * Returns 0, or -errno with the reason logged.
 */
int recorder_open(const char *path, const char *host, struct memory *memory,
		  struct recorder **recorder);

/* Writes what is left. No fault is recorded any more. NULL is fine. */
void recorder_close(struct recorder *recorder);

/* A guest has this number in steps, and this space in faults, from now on. */
void recorder_guest(struct recorder *recorder, u32 number, u32 space, const char *name);

/* What the functions below say comes from one thread. A step is begun before it is made, and ended after. */
void recorder_begin_step(struct recorder *recorder, const struct record_step *step,
			 const u32 *numbers, const struct target_guest *inputs,
			 const struct target_memory *memories);
void recorder_end_step(struct recorder *recorder, enum host_state after, u32 count,
		       const struct target_decision *decisions);

#endif
