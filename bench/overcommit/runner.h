/* SPDX-License-Identifier: Apache-2.0 */
/* Runs all cells of a plan. */
#ifndef BENCH_OVERCOMMIT_RUNNER_H
#define BENCH_OVERCOMMIT_RUNNER_H

#include "bench/overcommit/results.h"

/*
 * Contenders take turns at who goes first, round by round, and each is measured at each overcommit
 * before the next scenario begins: what is compared is measured within seconds. A cell that fails is
 * part of the results. Says on standard error how far it is. Returns 0; -EINTR when interrupted, with
 * the cells until then; or -errno.
 */
int runner_run(struct results *results, const struct cell_options *options);

#endif
