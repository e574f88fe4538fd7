/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.html: one file that needs no other, in light and dark, on paper-wide and phone-wide screens.
 * First the answer, a table and a plot, then a section a scenario.
 */
#include <math.h>
#include <string.h>

#include "bench/overcommit/goal.h"
#include "bench/overcommit/plot.h"
#include "bench/overcommit/report.h"
#include "bench/overcommit/rows.h"

static const char style[] =
	":root{color-scheme:light dark;--ink:#1c1e21;--soft:#5b6169;--paper:#fff;--line:#d5d9de;"
	"--good:#1a7f37;--bad:#b3261e}\n"
	"@media (prefers-color-scheme:dark){:root{--ink:#e6e8ea;--soft:#a0a7ae;--paper:#14171a;"
	"--line:#363c43;--good:#57c070;--bad:#ff8a80}}\n"
	"body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
	"max-width:62rem;margin:0 auto;padding:1rem}\n"
	"h1{font-size:1.6rem;line-height:1.2}h2{margin-top:2.5rem}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;"
	"font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;"
	"white-space:nowrap}\n"
	"th{color:var(--soft);font-weight:600;white-space:normal}"
	"th:first-child,td:first-child{text-align:left}\n"
	".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));"
	"gap:1rem}\n"
	"svg{width:100%;height:auto;max-width:40rem}svg text{fill:var(--ink)}"
	"svg path[stroke='black'],svg g[stroke='black'] path{stroke:var(--ink)}"
	"svg .gridline{stroke:var(--line)}\n"
	"p.note,footer{color:var(--soft)}code{overflow-wrap:anywhere}\n"
	"td.yes{color:var(--good)}td.no{color:var(--bad);font-weight:600}\n";

static void escape(FILE *stream, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", stream);
			break;
		case '>':
			fputs("&gt;", stream);
			break;
		case '&':
			fputs("&amp;", stream);
			break;
		default:
			fputc(*text, stream);
		}
	}
}

/* ---- tables ---- */

static void write_cells(FILE *stream, const struct row *row, const char *tag)
{
	fputs("<tr>", stream);
	for (u32 i = 0; i < row->count; i++) {
		const char *text = row->cells[i];
		const char *class = !strcmp(text, "yes")  ? " class=\"yes\""
				    : !strcmp(text, "NO") ? " class=\"no\""
							  : "";

		fprintf(stream, "<%s%s>", tag, class);
		escape(stream, text);
		fprintf(stream, "</%s>", tag);
	}
	fputs("</tr>\n", stream);
}

static void begin_table(FILE *stream, const struct row *head)
{
	fputs("<div class=\"scroll\"><table>\n<thead>", stream);
	write_cells(stream, head, "th");
	fputs("</thead>\n<tbody>\n", stream);
}

static void write_row(FILE *stream, const struct row *row)
{
	write_cells(stream, row, "td");
}

static void end_table(FILE *stream)
{
	fputs("</tbody></table></div>\n", stream);
}

static const struct table_ops html = {begin_table, write_row, end_table};

/* ---- plots ---- */

static void add_point(struct plot_line *line, double x, double y)
{
	if (line->count == PLOT_POINTS)
		return;
	line->x[line->count] = x;
	line->y[line->count++] = y;
}

static double median_or_nan(struct summary summary)
{
	return summary.rounds ? summary.median : NAN;
}

/* A figure of a scenario over the overcommit. */
static void scenario_line(const struct results *results, u32 scenario, u32 contender,
			  enum figure figure, struct plot_line *line)
{
	const struct plan *plan = &results->plan;

	line->title = contenders[contender].name;
	for (u32 i = 0; i < plan->overcommit_count; i++)
		add_point(line, plan->overcommits[i],
			  median_or_nan(results_figure(results, scenario, plan->overcommits[i],
						       contender, figure)));
}

static void write_plot(FILE *stream, const struct plot *plot)
{
	fputs("<div>\n", stream);
	if (plot_write(stream, plot))
		fprintf(stream, "<p class=\"note\">(no plot: no data, or no gnuplot)</p>\n");
	fputs("</div>\n", stream);
}

static void scenario_plot(FILE *stream, const struct results *results, u32 scenario,
			  enum figure figure, u32 number, bool log_y)
{
	static const u32 shown[] = {BALLAST, KERNEL, NONE};
	struct plot plot = {.title = figure_info[figure].label,
			    .x_label = "guest memory by budget",
			    .y_label = figure_info[figure].unit,
			    .number = number,
			    .log_y = log_y};

	for (u32 i = 0; i < ARRAY_SIZE(shown); i++)
		scenario_line(results, scenario, shown[i], figure, &plot.lines[plot.count++]);
	write_plot(stream, &plot);
}

/* All scenarios in one: the geometric mean of throughput by that of `none`. */
static void answer_plot(FILE *stream, const struct results *results)
{
	static const u32 shown[] = {BALLAST, KERNEL};
	const struct plan *plan = &results->plan;
	struct plot plot = {.title = "Throughput, all scenarios",
			    .x_label = "guest memory by budget",
			    .y_label = "% of enough memory for all"};

	for (u32 i = 0; i < ARRAY_SIZE(shown); i++) {
		struct plot_line *line = &plot.lines[plot.count++];

		line->title = contenders[shown[i]].name;
		for (u32 j = 0; j < plan->overcommit_count; j++)
			add_point(line, plan->overcommits[j],
				  100 * results_overall(results, plan->overcommits[j], shown[i]));
	}
	write_plot(stream, &plot);
}

/* ---- page ---- */

static void write_head(FILE *stream)
{
	fprintf(stream,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<title>Overcommit: Ballast and the kernel</title>\n<style>\n%s</style>\n</head>\n"
		"<body>\n<h1>How many more guests, at what cost, against what</h1>\n",
		style);
}

static void write_answer(FILE *stream, const struct results *results)
{
	fprintf(stream,
		"<p>Eight guests of %llu MiB do a fixed amount of work on less memory than they "
		"have: under Ballast, and under the Linux kernel's own KSM, zram and swap, with the "
		"same memory in all. Every read is checked.</p>\n<p><strong>",
		(unsigned long long)(results->plan.scale.guest_bytes / MiB));
	goals_verdict(stream, results);
	fputs(".</strong></p>\n", stream);
	if (results->rival_missing[0])
		fprintf(stream, "<p class=\"note\">The kernel was not measured: %s.</p>\n",
			results->rival_missing);
	fputs("<p>How far the overcommit goes with throughput within 20&#160;% of enough memory for all; "
	      "and at 2 times, Ballast by the kernel, the median of the rounds (least .. most). "
	      "More throughput is better, less of the rest.</p>\n",
	      stream);
	rows_answer(stream, &html, results);
	answer_plot(stream, results);
	fputs("<h2>Goals</h2>\n", stream);
	rows_goals(stream, &html, results);
}

static void write_loss(FILE *stream, const struct results *results, u32 scenario)
{
	struct summary ratio =
		results_ratio(results, scenario, GOAL_OVERCOMMIT, BALLAST, KERNEL, FIG_THROUGHPUT);

	if (ratio.rounds && ratio.median < 1)
		fprintf(stream, "<p>The kernel is faster here, %.1f times. %s</p>\n",
			1 / ratio.median, scenarios[scenario].loss);
}

static void write_scenario(FILE *stream, const struct results *results, u32 scenario)
{
	u32 number = 1 + 3 * scenario;

	fprintf(stream, "<h2 id=\"%s\">%s</h2>\n<p>%s</p>\n<div class=\"plots\">\n",
		scenarios[scenario].name, scenarios[scenario].name, scenarios[scenario].summary);
	scenario_plot(stream, results, scenario, FIG_THROUGHPUT, number, false);
	scenario_plot(stream, results, scenario, FIG_P99, number + 1, true);
	fputs("</div>\n", stream);
	rows_scenario(stream, &html, results, scenario);
	write_loss(stream, results, scenario);
}

static void write_foot(FILE *stream, const struct results *results)
{
	const struct machine *machine = &results->machine;

	fprintf(stream,
		"<footer><p>%s, %u cores, %.1f GiB, %s, KVM %s. %s, load %.1f. %u rounds, %.0f "
		"minutes.</p>\n<p><code>",
		machine->cpu, machine->cores, (double)machine->memory_bytes / MiB / 1024,
		machine->kernel, machine->kvm, machine->date, machine->load, results->plan.rounds,
		results->seconds / 60);
	escape(stream, results->command);
	fputs("</code></p></footer>\n</body>\n</html>\n", stream);
}

void report_html(FILE *stream, const struct results *results)
{
	write_head(stream);
	write_answer(stream, results);
	for (u32 i = 0; i < scenario_count; i++)
		if (plan_has_scenario(&results->plan, i))
			write_scenario(stream, results, i);
	write_foot(stream, results);
}
