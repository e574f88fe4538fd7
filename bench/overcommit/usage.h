/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_OVERCOMMIT_USAGE_H
#define BENCH_OVERCOMMIT_USAGE_H

/* CPU seconds, user and system, by getrusage(2)'s `who`. */
double usage_cpu(int who);

#endif
