/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own KSM, set to work as fast as it can, and put back as it was. One user at a time: its knobs are
 * the whole host's. */
#ifndef BENCH_KERNEL_KSM_H
#define BENCH_KERNEL_KSM_H

#include "bench/bench.h"

struct journal;

struct kernel_ksm {
	struct journal *journal; /* how it was */
	int pid;		 /* of ksmd */
};

/* Returns 0, or -ENOTSUP with the bench's note set. */
int kernel_ksm_start(struct bench *bench, struct kernel_ksm *ksm, bool smart_scan);
/* Unmerges everything, too. */
void kernel_ksm_stop(struct kernel_ksm *ksm);
/* Puts back what a process that died meanwhile left. */
void kernel_ksm_sweep(void);

/* A figure by its name; 0 when it has none. */
u64 kernel_ksm_read(const char *name);

/* CPU time of its thread, us. */
double kernel_ksm_cpu_us(const struct kernel_ksm *ksm);

#endif
