// SPDX-License-Identifier: Apache-2.0
/* The arithmetic of the overcommit benchmark: medians, spread, ratios, thresholds, goals. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "bench/overcommit/goal.h"

Test(overcommit_figure, median_of_odd_and_even_numbers)
{
	const double values[] = {3, 1, 2, 10};

	cr_expect_eq(summary_of(values, 3).median, 2);
	cr_expect_eq(summary_of(values, 4).median, 2.5);
	cr_expect_eq(summary_of(values, 4).least, 1);
	cr_expect_eq(summary_of(values, 4).most, 10);
	cr_expect_eq(summary_of(values, 1).median, 3);
}

Test(overcommit_figure, rounds_that_were_not_measured_do_not_count)
{
	const double values[] = {NAN, 4, NAN, 2};
	const double nothing[] = {NAN};

	cr_expect_eq(summary_of(values, 4).median, 3);
	cr_expect_eq(summary_of(values, 4).rounds, 2);
	cr_expect_eq(summary_of(nothing, 1).rounds, 0);
	cr_expect_eq(summary_of(nothing, 1).median, 0);
}

Test(overcommit_figure, ratio_needs_both)
{
	cr_expect_eq(ratio_of(3, 2), 1.5);
	cr_expect(isnan(ratio_of(3, 0)));
	cr_expect(isnan(ratio_of(NAN, 2)));
	cr_expect(isnan(ratio_of(3, NAN)));
}

Test(overcommit_figure, largest_within_stops_at_the_first_that_falls_below)
{
	const double x[] = {1, 1.5, 2, 3};
	const double falls[] = {100, 96, 80, 97}, starts_low[] = {90, 100, 100, 100};
	const double hole[] = {100, NAN, 100, 100};

	cr_expect_eq(largest_within(x, falls, 4, 100, 0.05), 1.5);
	cr_expect_eq(largest_within(x, falls, 4, 100, 0.20), 3);
	cr_expect_eq(largest_within(x, starts_low, 4, 100, 0.05), 0);
	cr_expect_eq(largest_within(x, hole, 4, 100, 0.05), 1);
	cr_expect_eq(largest_within(x, falls, 0, 100, 0.05), 0);
}

Test(overcommit_figure, steady_from_the_last_large_change_on)
{
	const double times[] = {0, 1, 2, 3, 4}, values[] = {10, 100, 50, 99, 100};
	const double flat[] = {100, 100, 100, 100, 100};

	cr_expect_eq(steady_from(times, values, 5, 0.05), 3);
	cr_expect_eq(steady_from(times, flat, 5, 0.05), 0);
	cr_expect_eq(steady_from(times, values, 1, 0.05), 0);
}

Test(overcommit_figure, every_figure_has_a_name)
{
	for (u32 i = 0; i < FIGURES; i++)
		cr_assert(figure_info[i].key && figure_info[i].unit && figure_info[i].label, "%u",
			  i);
}

static struct results results;

static void add_cell(u32 scenario, u32 contender, u32 round, double throughput, double cpu)
{
	struct cell cell = {.scenario = scenario,
			    .contender = contender,
			    .round = round,
			    .overcommit = GOAL_OVERCOMMIT,
			    .outcome = CELL_OK};

	for (u32 i = 0; i < FIGURES; i++)
		cell.value[i] = NAN;
	cell.value[FIG_THROUGHPUT] = throughput;
	cell.value[FIG_CPU_TOTAL] = cpu;
	cell.value[FIG_BUSY] = cpu;
	cr_assert_eq(results_add(&results, &cell), 0);
}

static u32 number_of(const char *name)
{
	return (u32)(scenario_find(name) - scenarios);
}

static void setup(void)
{
	memset(&results, 0, sizeof(results));
	results.plan = (struct plan){.rounds = 2,
				     .overcommit_count = 1,
				     .overcommits = {GOAL_OVERCOMMIT},
				     .scenarios = UINT32_MAX,
				     .contenders = UINT32_MAX};
}

static void teardown(void)
{
	results_free(&results);
}

Test(overcommit_results, ratios_are_of_one_round_each, .init = setup, .fini = teardown)
{
	u32 clones = number_of("clones");

	add_cell(clones, KERNEL, 0, 100, 1);
	add_cell(clones, BALLAST, 0, 200, 1);
	add_cell(clones, KERNEL, 1, 10, 1);
	add_cell(clones, BALLAST, 1, 40, 1);
	cr_expect_eq(results_ratio(&results, clones, 2, BALLAST, KERNEL, FIG_THROUGHPUT).median, 3);
	cr_expect_eq(results_figure(&results, clones, 2, BALLAST, FIG_THROUGHPUT).median, 120);
}

Test(overcommit_results, a_cell_that_failed_has_no_figures, .init = setup, .fini = teardown)
{
	u32 clones = number_of("clones");

	add_cell(clones, KERNEL, 0, 100, 1);
	results.cells[0].outcome = CELL_KILLED;
	cr_expect_eq(results_figure(&results, clones, 2, KERNEL, FIG_THROUGHPUT).rounds, 0);
	cr_expect_eq(results_ended(&results, clones, 2, KERNEL, CELL_KILLED), 1);
	cr_expect_eq(results_cells(&results, clones, 2, KERNEL), 1);
}

Test(overcommit_results, memory_costs_what_is_beyond_none, .init = setup, .fini = teardown)
{
	u32 clones = number_of("clones");

	add_cell(clones, NONE, 0, 100, 1);
	add_cell(clones, BALLAST, 0, 50, 3);
	add_cell(clones, BALLAST, 1, 50, 3); /* its round has no `none` */
	results_derive(&results);
	cr_expect_eq(results.cells[1].value[FIG_CPU_MEMORY], 2);
	cr_expect_eq(results.cells[1].value[FIG_STALL], 2);
	cr_expect(isnan(results.cells[2].value[FIG_CPU_MEMORY]));
}

Test(overcommit_results, largest_overcommit_is_measured_by_none, .init = setup, .fini = teardown)
{
	u32 clones = number_of("clones");

	add_cell(clones, NONE, 0, 100, 1);
	add_cell(clones, BALLAST, 0, 96, 1);
	add_cell(clones, KERNEL, 0, 85, 1);
	cr_expect_eq(results_largest(&results, clones, BALLAST, 0.05), 2);
	cr_expect_eq(results_largest(&results, clones, KERNEL, 0.05), 0);
	cr_expect_eq(results_largest(&results, clones, KERNEL, 0.20), 2);
}

static const struct goal every = {NULL, "incompressible", FIG_THROUGHPUT, true, 0.9, "every"};

Test(overcommit_goal, the_worst_scenario_counts, .init = setup, .fini = teardown)
{
	struct goal_state state;

	add_cell(number_of("sweep"), KERNEL, 0, 100, 1);
	add_cell(number_of("sweep"), BALLAST, 0, 80, 1);
	add_cell(number_of("phase"), KERNEL, 0, 100, 1);
	add_cell(number_of("phase"), BALLAST, 0, 300, 1);
	add_cell(number_of("incompressible"), KERNEL, 0, 100, 1);
	add_cell(number_of("incompressible"), BALLAST, 0, 1, 1);
	state = goal_check(&every, &results);
	cr_expect(state.measured && !state.reached);
	cr_expect_eq(state.scenario, number_of("sweep"));
	cr_expect_float_eq(state.value, 0.8, 1e-9);
}

Test(overcommit_goal, nothing_measured_is_nothing_reached, .init = setup, .fini = teardown)
{
	char text[256] = "";
	FILE *stream = fmemopen(text, sizeof(text), "w");

	cr_expect_not(goal_check(&every, &results).measured);
	cr_expect_not(goals_verdict(stream, &results));
	fclose(stream);
	cr_expect_str_eq(text, "0 of 0 goals reached");
}

Test(overcommit_goal, the_verdict_names_what_was_missed, .init = setup, .fini = teardown)
{
	char text[512] = "";
	FILE *stream = fmemopen(text, sizeof(text), "w");

	add_cell(number_of("sweep"), KERNEL, 0, 100, 1);
	add_cell(number_of("sweep"), BALLAST, 0, 95, 1);
	cr_expect_not(goals_verdict(stream, &results));
	fclose(stream);
	cr_expect_str_eq(text, "1 of 2 goals reached; missed: sweep: throughput 0.95 (>= 1.0)");
}

Test(overcommit_goal, every_goal_names_a_scenario_there_is)
{
	for (u32 i = 0; i < goal_count; i++) {
		cr_expect(!goals[i].scenario || scenario_find(goals[i].scenario));
		cr_expect(!goals[i].except || scenario_find(goals[i].except));
	}
}
