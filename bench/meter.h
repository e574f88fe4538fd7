/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the benchmarks are: one line that is drawn anew in place, on a terminal only. What is still to
 * come is guessed from the rounds that are over: they differ, so it is no more than a guess.
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdio.h>

#include "lib/types.h"

struct meter {
	FILE *out; /* NULL: not a terminal, nothing is shown */
	u64 began_ns, drawn_ns;
	u32 rounds, done; /* of all benchmarks together */
};

/* For so many rounds in all. */
void meter_begin(struct meter *meter, FILE *out, u32 rounds);

/* Draws it, if it is time again: this benchmark, at this round (from 0) of so many. */
void meter_show(struct meter *meter, const char *name, u32 round, u32 rounds);

/* Takes the line away, for others to write. */
void meter_clear(struct meter *meter);

/* The line itself, without control characters. */
void meter_line(const struct meter *meter, u64 now_ns, const char *name, u32 round, u32 rounds,
		char *text, size_t size);

#endif
