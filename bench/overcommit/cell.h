/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell: one scenario, at one overcommit, under one contender, once. It runs in a process of its own
 * and puts its figures into memory shared with the process that asked, so that a crash, or the
 * kernel's OOM killer, costs one cell.
 */
#ifndef BENCH_OVERCOMMIT_CELL_H
#define BENCH_OVERCOMMIT_CELL_H

#include <signal.h>

#include "bench/overcommit/contender.h"
#include "bench/overcommit/figure.h"
#include "bench/overcommit/journal.h"
#include "bench/overcommit/scenario.h"

struct host_config;

enum cell_outcome {
	CELL_PENDING,
	CELL_OK,
	CELL_KILLED, /* the kernel killed guests for want of memory, in every try */
	CELL_FAILED, /* a guest read wrong, crashed, or took too long: `note` says */
};

struct cell {
	/* Set by the caller. */
	u32 scenario, contender; /* into their tables */
	u32 round;
	double overcommit;
	/* Results. */
	enum cell_outcome outcome;
	char note[160];
	double value[FIGURES]; /* NAN: not measured, or not there */
};

struct cell_options {
	struct scale scale;
	const char *swap_folder; /* where swap files are made */
	u32 patience_s;		 /* a try that takes longer has failed */
	u32 tries;		 /* of a cell whose guests the kernel kills */
	struct journal
		*journal; /* NULL: nothing of the host is changed, and CONTENDER_KERNEL fails */
	const volatile sig_atomic_t *interrupted;
};

/* The budget of a cell: all guests' memory by the overcommit, a multiple of 2 MiB. */
u64 cell_budget(const struct cell *cell, const struct scale *scale);

/* Writes the cell's configuration file, which `ballast run` takes too. */
void cell_write_config(FILE *stream, const struct cell *cell, const struct cell_options *options);

/* Runs it. Returns 0 with the outcome in the cell; or -EINTR when interrupted, -errno when it could
 * not be tried at all, with the reason logged. The host is as before either way. */
int cell_run(struct cell *cell, const struct cell_options *options);

/* Removes the cgroups of cells that were killed; nobody is in them any more. */
void cell_sweep(void);

/* The two ways to run guests; called in the cell's own process. */
int cell_run_managed(struct cell *cell, const struct cell_options *options,
		     const struct host_config *config);
int cell_run_plain(struct cell *cell, const struct cell_options *options,
		   const struct host_config *config);

/* Where the kernel swaps to, besides zram. */
void cell_swap_path(char *path, size_t size, const struct cell_options *options,
		    const struct contender *contender);

/* Ends the cell: sets note and outcome. Returns 0. */
int cell_end(struct cell *cell, enum cell_outcome outcome, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
