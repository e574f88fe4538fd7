/* SPDX-License-Identifier: Apache-2.0 */
/* All cells of a benchmark, and the questions that reports ask about them. */
#ifndef BENCH_OVERCOMMIT_RESULTS_H
#define BENCH_OVERCOMMIT_RESULTS_H

#include "bench/machine.h"
#include "bench/overcommit/cell.h"

#define OVERCOMMITS_MAX 8

/* What was asked for. */
struct plan {
	struct scale scale;
	u32 rounds;
	u32 overcommit_count;
	double overcommits[OVERCOMMITS_MAX]; /* rising */
	double variant_overcommit;	     /* where Ballast's variants are measured; 0: nowhere */
	u32 scenarios;			     /* a bit each */
	u32 contenders;			     /* a bit each; `none` is always measured */
};

struct results {
	struct plan plan;
	struct machine machine;
	char command[512];
	char rival_missing[128]; /* why the kernel was not measured; "" it was */
	double seconds;
	u32 count, capacity;
	struct cell *cells;
};

int results_add(struct results *results, const struct cell *cell);
void results_free(struct results *results);

/* The cell of these, or NULL. `none` is the same at every overcommit. */
struct cell *results_find(const struct results *results, u32 scenario, double overcommit,
			  u32 contender, u32 round);

/* Fills in the figures that need the round's `none`: once, when all cells are there. */
void results_derive(struct results *results);

/* A figure over the rounds whose cells went well. */
struct summary results_figure(const struct results *results, u32 scenario, double overcommit,
			      u32 contender, enum figure figure);

/* The same of ratios, each of two cells of one round. */
struct summary results_ratio(const struct results *results, u32 scenario, double overcommit,
			     u32 contender, u32 base, enum figure figure);

/* How many cells there are, and how many of them ended in that way. */
u32 results_cells(const struct results *results, u32 scenario, double overcommit, u32 contender);
u32 results_ended(const struct results *results, u32 scenario, double overcommit, u32 contender,
		  enum cell_outcome outcome);

/* Largest measured overcommit up to which throughput stays within `share` of `none`; 0: none. */
double results_largest(const struct results *results, u32 scenario, u32 contender, double share);

/* Throughput as a share of `none`, the geometric mean of all scenarios measured; NAN when one of them
 * has no figure. */
double results_overall(const struct results *results, double overcommit, u32 contender);

bool plan_has_scenario(const struct plan *plan, u32 scenario);
bool plan_has_contender(const struct plan *plan, u32 contender);
/* Whether this contender is measured there. */
bool plan_has_cell(const struct plan *plan, u32 contender, double overcommit);

#endif
