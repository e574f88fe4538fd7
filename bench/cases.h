/* SPDX-License-Identifier: Apache-2.0 */
/* One round of each benchmark. docs/benchmarks.md says what each measures. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "bench/bench.h"

int fault_host_round(struct bench *bench);
int fault_kvm_round(struct bench *bench);
int refill_round(struct bench *bench);
int half_round(struct bench *bench);
int swapout_round(struct bench *bench);
int evict_round(struct bench *bench);
int stall_round(struct bench *bench);
int disk_round(struct bench *bench);
int fits_round(struct bench *bench);
int many_round(struct bench *bench);
int codec_round(struct bench *bench);
int metadata_round(struct bench *bench);
int dedup_round(struct bench *bench);
int balloon_round(struct bench *bench);
int ksm_round(struct bench *bench);
int balance_round(struct bench *bench);

#endif
