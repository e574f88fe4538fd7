/* SPDX-License-Identifier: Apache-2.0 */
/* report.json: bench/overcommit/report.schema.json is its description. */
#include <math.h>

#include "bench/overcommit/goal.h"
#include "bench/overcommit/report.h"
#include "ctl/json.h"

#define REPORT_VERSION 1

static void write_summary(struct json *json, const char *key, struct summary summary)
{
	json_open(json, key, '{');
	json_real(json, "median", summary.median);
	json_real(json, "least", summary.least);
	json_real(json, "most", summary.most);
	json_number(json, "rounds", summary.rounds);
	json_close(json);
}

static void write_machine(struct json *json, const struct machine *machine)
{
	json_open(json, "machine", '{');
	json_string(json, "cpu", machine->cpu);
	json_number(json, "cores", machine->cores);
	json_number(json, "memory_bytes", machine->memory_bytes);
	json_string(json, "kernel", machine->kernel);
	json_string(json, "kvm", machine->kvm);
	json_string(json, "date", machine->date);
	json_real(json, "load", machine->load);
	json_close(json);
}

/* The first note of a cell that did not go well. */
static const char *first_note(const struct results *results, u32 scenario, double overcommit,
			      u32 contender)
{
	for (u32 i = 0; i < results->plan.rounds; i++) {
		const struct cell *cell = results_find(results, scenario, overcommit, contender, i);

		if (cell && cell->outcome != CELL_OK)
			return cell->note;
	}
	return "";
}

static void write_contender(struct json *json, const struct results *results, u32 scenario,
			    double overcommit, u32 contender)
{
	json_open(json, NULL, '{');
	json_string(json, "name", contenders[contender].name);
	json_number(json, "cells", results_cells(results, scenario, overcommit, contender));
	json_number(json, "ok", results_ended(results, scenario, overcommit, contender, CELL_OK));
	json_number(json, "killed",
		    results_ended(results, scenario, overcommit, contender, CELL_KILLED));
	json_string(json, "note", first_note(results, scenario, overcommit, contender));
	json_open(json, "figures", '{');
	for (u32 i = 0; i < FIGURES; i++) {
		struct summary summary =
			results_figure(results, scenario, overcommit, contender, i);

		if (summary.rounds)
			write_summary(json, figure_info[i].key, summary);
	}
	json_close(json);
	json_close(json);
}

/* Of Ballast to the kernel, of each figure that both have. */
static void write_ratios(struct json *json, const struct results *results, u32 scenario,
			 double overcommit)
{
	json_open(json, "ballast_to_kernel", '{');
	for (u32 i = 0; i < FIGURES; i++) {
		struct summary summary =
			results_ratio(results, scenario, overcommit, BALLAST, KERNEL, i);

		if (summary.rounds)
			write_summary(json, figure_info[i].key, summary);
	}
	json_close(json);
}

static void write_point(struct json *json, const struct results *results, u32 scenario,
			double overcommit)
{
	const struct cell cell = {.scenario = scenario, .overcommit = overcommit};

	json_open(json, NULL, '{');
	json_real(json, "overcommit", overcommit);
	json_number(json, "budget_bytes", cell_budget(&cell, &results->plan.scale));
	json_open(json, "contenders", '[');
	for (u32 i = NONE + 1; i < contender_count; i++)
		if (plan_has_cell(&results->plan, i, overcommit))
			write_contender(json, results, scenario, overcommit, i);
	json_close(json);
	write_ratios(json, results, scenario, overcommit);
	json_close(json);
}

static void write_largest(struct json *json, const struct results *results, u32 scenario)
{
	json_open(json, "largest_overcommit", '[');
	for (u32 i = NONE + 1; i < contender_count; i++) {
		if (contenders[i].variant || !plan_has_contender(&results->plan, i))
			continue;
		json_open(json, NULL, '{');
		json_string(json, "name", contenders[i].name);
		json_real(json, "within_5_percent", results_largest(results, scenario, i, 0.05));
		json_real(json, "within_20_percent", results_largest(results, scenario, i, 0.20));
		json_close(json);
	}
	json_close(json);
}

static void write_scenario(struct json *json, const struct results *results, u32 scenario)
{
	json_open(json, NULL, '{');
	json_string(json, "name", scenarios[scenario].name);
	json_string(json, "summary", scenarios[scenario].summary);
	json_number(json, "guests", scenario_guests(&scenarios[scenario]));
	json_open(json, "none", '[');
	write_contender(json, results, scenario, 0, NONE);
	json_close(json);
	json_open(json, "points", '[');
	for (u32 i = 0; i < results->plan.overcommit_count; i++)
		write_point(json, results, scenario, results->plan.overcommits[i]);
	json_close(json);
	write_largest(json, results, scenario);
	json_close(json);
}

static void write_goal(struct json *json, const struct results *results, const struct goal *goal)
{
	struct goal_state state = goal_check(goal, results);

	json_open(json, NULL, '{');
	json_string(json, "text", goal->text);
	json_string(json, "figure", figure_info[goal->figure].key);
	json_real(json, goal->at_least ? "at_least" : "at_most", goal->value);
	json_bool(json, "measured", state.measured);
	if (state.measured) {
		json_real(json, "value", state.value);
		json_bool(json, "reached", state.reached);
		json_string(json, "scenario", scenarios[state.scenario].name);
	}
	json_close(json);
}

void report_json(FILE *stream, const struct results *results)
{
	struct json json;

	json_init(&json, stream);
	json_open(&json, NULL, '{');
	json_number(&json, "version", REPORT_VERSION);
	json_string(&json, "command", results->command);
	write_machine(&json, &results->machine);
	json_real(&json, "seconds", results->seconds);
	json_number(&json, "rounds", results->plan.rounds);
	json_number(&json, "guest_bytes", results->plan.scale.guest_bytes);
	json_number(&json, "work_percent", results->plan.scale.work_percent);
	json_string(&json, "kernel_missing", results->rival_missing);
	json_open(&json, "goals", '[');
	for (u32 i = 0; i < goal_count; i++)
		write_goal(&json, results, &goals[i]);
	json_close(&json);
	json_open(&json, "scenarios", '[');
	for (u32 i = 0; i < scenario_count; i++)
		if (plan_has_scenario(&results->plan, i))
			write_scenario(&json, results, i);
	json_close(&json);
	json_close(&json);
}
