/* SPDX-License-Identifier: Apache-2.0 */
/* report.md: the tables, to paste. */
#include "bench/overcommit/goal.h"
#include "bench/overcommit/report.h"
#include "bench/overcommit/rows.h"

static void write_row(FILE *stream, const struct row *row)
{
	fputc('|', stream);
	for (u32 i = 0; i < row->count; i++)
		fprintf(stream, " %s |", row->cells[i]);
	fputc('\n', stream);
}

static void begin_table(FILE *stream, const struct row *head)
{
	fputc('\n', stream);
	write_row(stream, head);
	fputc('|', stream);
	for (u32 i = 0; i < head->count; i++)
		fputs("---|", stream);
	fputc('\n', stream);
}

static void end_table(FILE *stream)
{
	fputc('\n', stream);
}

static const struct table_ops markdown = {begin_table, write_row, end_table};

static void write_loss(FILE *stream, const struct results *results, u32 scenario)
{
	struct summary ratio =
		results_ratio(results, scenario, GOAL_OVERCOMMIT, BALLAST, KERNEL, FIG_THROUGHPUT);

	if (ratio.rounds && ratio.median < 1)
		fprintf(stream, "The kernel is faster here, %.1f times. %s\n\n", 1 / ratio.median,
			scenarios[scenario].loss);
}

void report_markdown(FILE *stream, const struct results *results)
{
	const struct machine *machine = &results->machine;

	fprintf(stream,
		"# Overcommit: Ballast, and the kernel's KSM, zram and swap\n\n"
		"%s, %u cores, %.1f GiB, %s, KVM %s, %s, load %.1f\n\n    %s\n\n",
		machine->cpu, machine->cores, (double)machine->memory_bytes / MiB / 1024,
		machine->kernel, machine->kvm, machine->date, machine->load, results->command);
	if (results->rival_missing[0])
		fprintf(stream, "The kernel was not measured: %s.\n\n", results->rival_missing);
	goals_verdict(stream, results);
	fprintf(stream, "\n\nMedians of %u rounds (least .. most), Ballast by kernel:\n",
		results->plan.rounds);
	rows_answer(stream, &markdown, results);
	rows_goals(stream, &markdown, results);
	for (u32 i = 0; i < scenario_count; i++) {
		if (!plan_has_scenario(&results->plan, i))
			continue;
		fprintf(stream, "## %s\n\n%s\n", scenarios[i].name, scenarios[i].summary);
		rows_scenario(stream, &markdown, results, i);
		write_loss(stream, results, i);
	}
}
