/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/runner.h"

#include <stdio.h>

#include "lib/clock.h"

static u32 count_cells(const struct plan *plan)
{
	u32 count = 0;

	for (u32 i = 0; i < scenario_count; i++) {
		if (!plan_has_scenario(plan, i))
			continue;
		count++;
		for (u32 j = 0; j < plan->overcommit_count; j++)
			for (u32 k = NONE + 1; k < contender_count; k++)
				count += plan_has_cell(plan, k, plan->overcommits[j]);
	}
	return count * plan->rounds;
}

static void say(const struct results *results, const struct cell *cell, u32 all)
{
	static const char *const outcomes[] = {[CELL_PENDING] = "?",
					       [CELL_OK] = "ok",
					       [CELL_KILLED] = "KILLED",
					       [CELL_FAILED] = "FAILED"};

	fprintf(stderr,
		"%3u/%u  %-14s %-10s %4.2fx  %10.0f ops/s  p99 %9.0f us  %5.0f MiB  %4.1f s  %s%s%s\n",
		results->count, all, scenarios[cell->scenario].name,
		contenders[cell->contender].name, cell->contender == NONE ? 0.0 : cell->overcommit,
		cell->value[FIG_THROUGHPUT], cell->value[FIG_P99],
		cell->value[FIG_MEMORY_MEAN] / MiB, cell->value[FIG_DURATION],
		outcomes[cell->outcome], cell->note[0] ? ": " : "", cell->note);
}

static int run_cell(struct results *results, const struct cell_options *options,
		    const struct cell *wanted)
{
	struct cell cell = *wanted;
	int err = cell_run(&cell, options);

	if (err)
		return err;
	err = results_add(results, &cell);
	say(results, &cell, count_cells(&results->plan));
	return err;
}

static int run_point(struct results *results, const struct cell_options *options, u32 scenario,
		     double overcommit, u32 round)
{
	int err = 0;

	for (u32 i = 0; i < contender_count - 1 && !err; i++) {
		struct cell cell = {.scenario = scenario,
				    .contender = NONE + 1 + (i + round) % (contender_count - 1),
				    .overcommit = overcommit,
				    .round = round};

		if (plan_has_cell(&results->plan, cell.contender, overcommit))
			err = run_cell(results, options, &cell);
	}
	return err;
}

static int run_scenario(struct results *results, const struct cell_options *options, u32 scenario,
			u32 round)
{
	const struct cell none = {
		.scenario = scenario, .contender = NONE, .overcommit = 1, .round = round};
	int err = run_cell(results, options, &none);

	for (u32 i = 0; i < results->plan.overcommit_count && !err; i++)
		err = run_point(results, options, scenario, results->plan.overcommits[i], round);
	return err;
}

int runner_run(struct results *results, const struct cell_options *options)
{
	u64 began = clock_now_ns();
	int err = 0;

	for (u32 round = 0; round < results->plan.rounds && !err; round++)
		for (u32 i = 0; i < scenario_count && !err; i++)
			if (plan_has_scenario(&results->plan, i))
				err = run_scenario(results, options, i, round);
	results->seconds = (double)(clock_now_ns() - began) / NSEC_PER_SEC;
	results_derive(results);
	return err;
}
