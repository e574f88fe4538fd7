// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that comes and goes: vCPU 0 keeps a share of the guest's free pages in use by turns, as programs
 * that start and end would. What it takes it writes, and verifies before it lets go; so memory that is
 * dropped while it is used shows, and the balloon has somebody to run out of memory.
 */
#ifndef GUEST_DRIVER_CHURN_H
#define GUEST_DRIVER_CHURN_H

#include "lib/types.h"

struct guest_cpu;

struct churn {
	u32 wanted;		  /* pages in use */
	u32 take_from, drop_from; /* frames where to look next */
	u8 version;
};

void churn_init(struct guest_cpu *cpu);

/* Takes a run of pages, or lets one go. */
void churn_step(struct guest_cpu *cpu);

#endif
