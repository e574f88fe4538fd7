/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/goal.h"

#include <string.h>

const struct goal goals[] = {
	{"clones", NULL, FIG_THROUGHPUT, true, 1.5, "clones: throughput"},
	{"clones", NULL, FIG_MEMORY_MEAN, false, 0.7, "clones: host memory"},
	{"idle-fleet", NULL, FIG_THROUGHPUT, true, 1.2, "idle-fleet: throughput"},
	{"phase", NULL, FIG_THROUGHPUT, true, 1.3, "phase: throughput"},
	{"kv-a", NULL, FIG_THROUGHPUT, true, 1.0, "kv-a: throughput"},
	{"kv-b", NULL, FIG_THROUGHPUT, true, 1.0, "kv-b: throughput"},
	{"kv-c", NULL, FIG_THROUGHPUT, true, 1.0, "kv-c: throughput"},
	{"sweep", NULL, FIG_THROUGHPUT, true, 1.0, "sweep: throughput"},
	{NULL, "incompressible", FIG_P99, false, 0.5, "every scenario but incompressible: p99"},
	{NULL, NULL, FIG_CPU_MEMORY, false, 1.0, "every scenario: CPU for memory"},
	{NULL, NULL, FIG_THROUGHPUT, true, 0.9, "every scenario: throughput"},
};
const u32 goal_count = ARRAY_SIZE(goals);

static bool concerns(const struct goal *goal, const struct results *results, u32 scenario)
{
	const char *name = scenarios[scenario].name;

	if (!plan_has_scenario(&results->plan, scenario))
		return false;
	if (goal->scenario)
		return !strcmp(goal->scenario, name);
	return !goal->except || strcmp(goal->except, name) != 0;
}

/* The kernel finished none of its tries, and we did: that is no ratio, but it is no loss either. */
static bool won_outright(const struct results *results, u32 scenario)
{
	return results_ended(results, scenario, GOAL_OVERCOMMIT, BALLAST, CELL_OK) &&
	       results_cells(results, scenario, GOAL_OVERCOMMIT, KERNEL) &&
	       !results_ended(results, scenario, GOAL_OVERCOMMIT, KERNEL, CELL_OK);
}

struct goal_state goal_check(const struct goal *goal, const struct results *results)
{
	struct goal_state state = {.reached = true};

	for (u32 i = 0; i < scenario_count; i++) {
		struct summary ratio;
		bool worse;

		if (!concerns(goal, results, i) || won_outright(results, i))
			continue;
		ratio = results_ratio(results, i, GOAL_OVERCOMMIT, BALLAST, KERNEL, goal->figure);
		if (!ratio.rounds)
			continue;
		worse = goal->at_least ? ratio.median < state.value : ratio.median > state.value;
		if (!state.measured || worse) {
			state.value = ratio.median;
			state.scenario = i;
		}
		state.measured = true;
	}
	if (state.measured)
		state.reached =
			goal->at_least ? state.value >= goal->value : state.value <= goal->value;
	return state;
}

bool goals_verdict(FILE *stream, const struct results *results)
{
	u32 measured = 0, reached = 0;
	const char *separator = "; missed: ";

	for (u32 i = 0; i < goal_count; i++) {
		struct goal_state state = goal_check(&goals[i], results);

		measured += state.measured;
		reached += state.measured && state.reached;
	}
	fprintf(stream, "%u of %u goals reached", reached, measured);
	for (u32 i = 0; i < goal_count; i++) {
		struct goal_state state = goal_check(&goals[i], results);

		if (!state.measured || state.reached)
			continue;
		fprintf(stream, "%s%s %.2f (%s %.1f%s%s)", separator, goals[i].text, state.value,
			goals[i].at_least ? ">=" : "<=", goals[i].value,
			goals[i].scenario ? "" : ", worst: ",
			goals[i].scenario ? "" : scenarios[state.scenario].name);
		separator = ", ";
	}
	return measured && reached == measured;
}
