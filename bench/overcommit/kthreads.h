/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own threads that manage memory, and what they cost. */
#ifndef BENCH_OVERCOMMIT_KTHREADS_H
#define BENCH_OVERCOMMIT_KTHREADS_H

/* CPU seconds so far of ksmd, kswapd, kcompactd and khugepaged: the scheduler's account, since the
 * machine started. Compression for zram is done by whoever swaps, and counts with him. */
double kthreads_cpu(void);

#endif
