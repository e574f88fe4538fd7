/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/results.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int results_add(struct results *results, const struct cell *cell)
{
	u32 capacity = MAX(results->capacity * 2, 64U);
	struct cell *cells = results->cells;

	if (results->count == results->capacity) {
		cells = reallocarray(cells, capacity, sizeof(*cells));
		if (!cells)
			return -ENOMEM;
		results->cells = cells;
		results->capacity = capacity;
	}
	cells[results->count++] = *cell;
	return 0;
}

void results_free(struct results *results)
{
	free(results->cells);
	results->cells = NULL;
	results->count = results->capacity = 0;
}

bool plan_has_scenario(const struct plan *plan, u32 scenario)
{
	return plan->scenarios >> scenario & 1;
}

bool plan_has_contender(const struct plan *plan, u32 contender)
{
	return plan->contenders >> contender & 1;
}

bool plan_has_cell(const struct plan *plan, u32 contender, double overcommit)
{
	return plan_has_contender(plan, contender) &&
	       (!contenders[contender].variant || overcommit == plan->variant_overcommit);
}

struct cell *results_find(const struct results *results, u32 scenario, double overcommit,
			  u32 contender, u32 round)
{
	for (u32 i = 0; i < results->count; i++) {
		struct cell *cell = &results->cells[i];

		if (cell->scenario == scenario && cell->contender == contender &&
		    cell->round == round && (contender == NONE || cell->overcommit == overcommit))
			return cell;
	}
	return NULL;
}

static bool went_well(const struct cell *cell)
{
	return cell && cell->outcome == CELL_OK;
}

void results_derive(struct results *results)
{
	for (u32 i = 0; i < results->count; i++) {
		struct cell *cell = &results->cells[i];
		const struct cell *none =
			results_find(results, cell->scenario, 0, NONE, cell->round);

		cell->value[FIG_STALL] = NAN;
		cell->value[FIG_CPU_MEMORY] = NAN;
		if (!went_well(none) || !went_well(cell))
			continue;
		/* The same operations, checked in the same way: what is more is memory's. */
		cell->value[FIG_STALL] = cell->value[FIG_BUSY] - none->value[FIG_BUSY];
		cell->value[FIG_CPU_MEMORY] =
			cell->value[FIG_CPU_TOTAL] - none->value[FIG_CPU_TOTAL];
	}
}

static double value_of(const struct cell *cell, enum figure figure)
{
	return went_well(cell) ? cell->value[figure] : NAN;
}

struct summary results_figure(const struct results *results, u32 scenario, double overcommit,
			      u32 contender, enum figure figure)
{
	double values[ROUNDS_MAX];
	u32 rounds = MIN(results->plan.rounds, (u32)ROUNDS_MAX);

	for (u32 i = 0; i < rounds; i++)
		values[i] =
			value_of(results_find(results, scenario, overcommit, contender, i), figure);
	return summary_of(values, rounds);
}

struct summary results_ratio(const struct results *results, u32 scenario, double overcommit,
			     u32 contender, u32 base, enum figure figure)
{
	double values[ROUNDS_MAX];
	u32 rounds = MIN(results->plan.rounds, (u32)ROUNDS_MAX);

	for (u32 i = 0; i < rounds; i++)
		values[i] = ratio_of(
			value_of(results_find(results, scenario, overcommit, contender, i), figure),
			value_of(results_find(results, scenario, overcommit, base, i), figure));
	return summary_of(values, rounds);
}

u32 results_cells(const struct results *results, u32 scenario, double overcommit, u32 contender)
{
	u32 count = 0;

	for (u32 i = 0; i < results->plan.rounds; i++)
		count += results_find(results, scenario, overcommit, contender, i) != NULL;
	return count;
}

u32 results_ended(const struct results *results, u32 scenario, double overcommit, u32 contender,
		  enum cell_outcome outcome)
{
	u32 count = 0;

	for (u32 i = 0; i < results->plan.rounds; i++) {
		const struct cell *cell = results_find(results, scenario, overcommit, contender, i);

		count += cell && cell->outcome == outcome;
	}
	return count;
}

double results_largest(const struct results *results, u32 scenario, u32 contender, double share)
{
	const struct plan *plan = &results->plan;
	double throughput[OVERCOMMITS_MAX];
	double base = results_figure(results, scenario, 0, NONE, FIG_THROUGHPUT).median;

	for (u32 i = 0; i < plan->overcommit_count; i++) {
		struct summary summary = results_figure(results, scenario, plan->overcommits[i],
							contender, FIG_THROUGHPUT);

		throughput[i] = summary.rounds ? summary.median : NAN;
	}
	return largest_within(plan->overcommits, throughput, plan->overcommit_count, base, share);
}

double results_overall(const struct results *results, double overcommit, u32 contender)
{
	double logarithms = 0;
	u32 count = 0;

	for (u32 i = 0; i < scenario_count; i++) {
		struct summary share;

		if (!plan_has_scenario(&results->plan, i))
			continue;
		share = results_ratio(results, i, overcommit, contender, NONE, FIG_THROUGHPUT);
		if (!share.rounds)
			return NAN;
		logarithms += log(share.median);
		count++;
	}
	return count ? exp(logarithms / count) : NAN;
}
