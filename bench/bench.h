/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a benchmark is: a function that does one round of a measurement and puts down figures by
 * name. Every round runs in a process of its own, so that none inherits another's memory and a crash
 * costs one row of the table; the figures lie in memory shared with the process that prints them.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "lib/types.h"

#define BENCH_ROUNDS_MAX 32
#define BENCH_METRICS	 256
#define BENCH_NAME_MAX	 56
#define BENCH_TEXT_MAX	 160

/* A figure over the rounds. */
struct metric {
	char name[BENCH_NAME_MAX]; /* subject.what.how */
	char unit[12];
	u32 rounds;
	double value[BENCH_ROUNDS_MAX];
	double tail[BENCH_ROUNDS_MAX]; /* the round's 99th percentile; < 0: it has none */
};

struct bench_options {
	u32 rounds;
	bool quick;	  /* less of everything: for a look, not for a claim */
	const char *swap; /* path of the swap file, made and removed by each round that needs it */
	const char *data; /* file or folder whose bytes are swapped */
};

/* What all benchmarks write into, shared between the processes. */
struct bench {
	struct bench_options options;
	u32 round;		   /* from 0: pairs take turns at who goes first */
	char note[BENCH_TEXT_MAX]; /* why the round under way gave up, for -ENOTSUP and errors */
	u32 count;
	struct metric metrics[BENCH_METRICS];
};

enum bench_need {
	BENCH_NEED_KVM = 1 << 0,
	BENCH_NEED_PEER = 1 << 1, /* the kernel's own swap, on zram: bench/peer.h */
};

struct bench_case {
	const char *name;
	const char *summary;
	u32 needs;
	u32 most_rounds; /* 0: as many as asked for */
	u32 patience_s;	 /* a round that takes longer has failed */
	/* Returns 0; -ENOTSUP, cannot be measured here (bench->note says why); other -errno. */
	int (*round)(struct bench *bench);
};

/* The table of benchmarks: bench/main.c. */
extern const struct bench_case bench_cases[];
extern const u32 bench_case_count;

/* Puts down this round's figure, and its 99th percentile (negative: it has none). */
void bench_put(struct bench *bench, double value, double tail, const char *unit, const char *format,
	       ...) __attribute__((format(printf, 5, 6)));

/* The figure of this name's latest round, of the benchmark under way or an earlier one; 0 when there
 * is none. For ratios. */
double bench_last(const struct bench *bench, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Gives up: sets the note and returns err. */
int bench_fail(struct bench *bench, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
