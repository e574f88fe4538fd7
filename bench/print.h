/* SPDX-License-Identifier: Apache-2.0 */
/* The results, for people and for programs. */
#ifndef BENCH_PRINT_H
#define BENCH_PRINT_H

#include "bench/machine.h"

void print_machine(const struct machine *machine);
void print_header(void);
/* Rows of the figures from number `first` on. */
void print_metrics(const struct bench *bench, u32 first);
/* How many of the targets measured were reached. */
void print_verdict(const struct bench *bench);

/* Returns 0 or -errno. */
int print_json(const struct bench *bench, const struct machine *machine, const char *path);

#endif
