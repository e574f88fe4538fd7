/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/rows.h"

#include <stdarg.h>
#include <stdio.h>

#include "bench/overcommit/goal.h"

static void add(struct row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct row *row, const char *format, ...)
{
	va_list arguments;

	if (row->count == ROW_CELLS)
		return;
	va_start(arguments, format);
	vsnprintf(row->cells[row->count++], ROW_TEXT, format, arguments);
	va_end(arguments);
}

static void add_heads(struct row *row, const char *const *heads, u32 count)
{
	for (u32 i = 0; i < count; i++)
		add(row, "%s", heads[i]);
}

static void add_largest(struct row *row, double largest)
{
	if (largest > 0)
		add(row, "%.2fx", largest);
	else
		add(row, "none");
}

static void add_ratio(struct row *row, struct summary ratio)
{
	if (!ratio.rounds)
		add(row, "-");
	else if (ratio.rounds == 1)
		add(row, "%.2f", ratio.median);
	else
		add(row, "%.2f (%.2f .. %.2f)", ratio.median, ratio.least, ratio.most);
}

void rows_answer(FILE *stream, const struct table_ops *ops, const struct results *results)
{
	static const char *const heads[] = {
		"scenario", "Ballast within 20 %", "kernel within 20 %", "throughput at 2x",
		"p99",	    "host memory",	   "CPU for memory",	 "time to fill"};
	static const enum figure figures[] = {FIG_THROUGHPUT, FIG_P99, FIG_MEMORY_MEAN,
					      FIG_CPU_MEMORY, FIG_FILL};
	struct row head = {};

	add_heads(&head, heads, ARRAY_SIZE(heads));
	ops->begin(stream, &head);
	for (u32 i = 0; i < scenario_count; i++) {
		struct row row = {};

		if (!plan_has_scenario(&results->plan, i))
			continue;
		add(&row, "%s", scenarios[i].name);
		add_largest(&row, results_largest(results, i, BALLAST, 0.20));
		add_largest(&row, results_largest(results, i, KERNEL, 0.20));
		for (u32 j = 0; j < ARRAY_SIZE(figures); j++)
			add_ratio(&row, results_ratio(results, i, GOAL_OVERCOMMIT, BALLAST, KERNEL,
						      figures[j]));
		ops->row(stream, &row);
	}
	ops->end(stream);
}

void rows_goals(FILE *stream, const struct table_ops *ops, const struct results *results)
{
	static const char *const heads[] = {"goal, Ballast to kernel at 2x", "wanted", "measured",
					    "reached"};
	struct row head = {};

	add_heads(&head, heads, ARRAY_SIZE(heads));
	ops->begin(stream, &head);
	for (u32 i = 0; i < goal_count; i++) {
		struct goal_state state = goal_check(&goals[i], results);
		struct row row = {};

		add(&row, "%s", goals[i].text);
		add(&row, "%s %.1f", goals[i].at_least ? "at least" : "at most", goals[i].value);
		if (!state.measured)
			add(&row, "-");
		else if (goals[i].scenario)
			add(&row, "%.2f", state.value);
		else
			add(&row, "%.2f (%s)", state.value, scenarios[state.scenario].name);
		add(&row, "%s", !state.measured ? "not measured" : state.reached ? "yes" : "NO");
		ops->row(stream, &row);
	}
	ops->end(stream);
}

static void add_figure(struct row *row, const struct results *results, u32 scenario,
		       double overcommit, u32 contender, enum figure figure, double unit)
{
	struct summary summary = results_figure(results, scenario, overcommit, contender, figure);

	if (summary.rounds)
		add(row, "%.*f", summary.median / unit < 100 ? 1 : 0, summary.median / unit);
	else
		add(row, "-");
}

static void scenario_row(FILE *stream, const struct table_ops *ops, const struct results *results,
			 u32 scenario, double overcommit, u32 contender)
{
	static const struct {
		enum figure figure;
		double unit;
	} shown[] = {{FIG_THROUGHPUT, 1000},
		     {FIG_P50, 1},
		     {FIG_P99, 1},
		     {FIG_P999, 1000},
		     {FIG_STALL, 1},
		     {FIG_CPU_MEMORY, 1},
		     {FIG_MEMORY_MEAN, MiB},
		     {FIG_SAVED_SHARING, MiB},
		     {FIG_SAVED_COMPRESSION, MiB},
		     {FIG_DISK_READ, MiB}};
	struct row row = {};
	u32 killed = results_ended(results, scenario, overcommit, contender, CELL_KILLED);
	u32 failed = results_ended(results, scenario, overcommit, contender, CELL_FAILED);

	if (contender == NONE)
		add(&row, "none");
	else
		add(&row, "%s %.2fx%s%s", contenders[contender].name, overcommit,
		    killed ? ", KILLED" : "", failed ? ", FAILED" : "");
	for (u32 i = 0; i < ARRAY_SIZE(shown); i++)
		add_figure(&row, results, scenario, overcommit, contender, shown[i].figure,
			   shown[i].unit);
	ops->row(stream, &row);
}

void rows_scenario(FILE *stream, const struct table_ops *ops, const struct results *results,
		   u32 scenario)
{
	static const char *const heads[] = {"memory by",  "1000 op/s",	    "p50 us",  "p99 us",
					    "p99.9 ms",	  "stall s",	    "CPU s",   "memory MiB",
					    "shared MiB", "compressed MiB", "read MiB"};
	const struct plan *plan = &results->plan;
	struct row head = {};

	add_heads(&head, heads, ARRAY_SIZE(heads));
	ops->begin(stream, &head);
	scenario_row(stream, ops, results, scenario, 0, NONE);
	for (u32 i = 0; i < plan->overcommit_count; i++)
		for (u32 j = NONE + 1; j < contender_count; j++)
			if (plan_has_cell(plan, j, plan->overcommits[i]))
				scenario_row(stream, ops, results, scenario, plan->overcommits[i],
					     j);
	ops->end(stream);
}
