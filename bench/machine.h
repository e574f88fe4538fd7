/* SPDX-License-Identifier: Apache-2.0 */
/* What the figures were measured on, without which they mean nothing. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include "bench/bench.h"

struct machine {
	char cpu[96];
	u32 cores;
	u64 memory_bytes;
	char kernel[160];
	char kvm[32]; /* "vmx", "svm", "other" (nested without either), "none" */
	char date[32];
	double load; /* processes that wanted a core in the last minute, ours not yet among them */
};

void machine_describe(struct machine *machine);

#endif
