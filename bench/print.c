/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/print.h"

#include <errno.h>
#include <stdio.h>

#include "bench/metric.h"
#include "bench/target.h"
#include "ctl/json.h"

void print_machine(const struct machine *machine)
{
	printf("%s, %u cores, %.1f GiB, %s, KVM %s, %s, load %.1f\n\n", machine->cpu,
	       machine->cores, (double)machine->memory_bytes / (double)GiB, machine->kernel,
	       machine->kvm, machine->date, machine->load);
}

void print_header(void)
{
	printf("%-44s %10s %10s  %-7s %19s %6s  %-10s %s\n", "figure", "median", "p99", "unit",
	       "least .. most", "rounds", "target", "reached");
}

/* As many digits as are worth reading. */
static const char *number(char *text, size_t size, double value)
{
	double magnitude = value < 0 ? -value : value;

	snprintf(text, size, "%.*f",
		 magnitude >= 1000  ? 0
		 : magnitude >= 100 ? 1
		 : magnitude >= 10  ? 2
				    : 3,
		 value);
	return text;
}

static void print_metric(const struct metric *metric)
{
	const struct target *target = target_find(metric->name);
	char middle[24], tail[24] = "", least[24], most[24], limit[24], wanted[32] = "";
	struct metric_summary summary;
	char spread[52];

	metric_sum_up(metric, &summary);
	if (summary.tail >= 0)
		number(tail, sizeof(tail), summary.tail);
	if (target)
		snprintf(wanted, sizeof(wanted), "%s %s", target->at_least ? ">=" : "<=",
			 number(limit, sizeof(limit), target->value));
	snprintf(spread, sizeof(spread), "%s .. %s", number(least, sizeof(least), summary.least),
		 number(most, sizeof(most), summary.most));
	printf("%-44s %10s %10s  %-7s %19s %6u  %-10s %s\n", metric->name,
	       number(middle, sizeof(middle), summary.median), tail, metric->unit, spread,
	       metric->rounds, wanted,
	       !target					? ""
	       : target_reached(target, summary.median) ? "yes"
							: "NO");
}

void print_metrics(const struct bench *bench, u32 first)
{
	for (u32 i = first; i < bench->count; i++)
		print_metric(&bench->metrics[i]);
	fflush(stdout);
}

void print_verdict(const struct bench *bench)
{
	u32 measured = 0, reached = 0;

	for (u32 i = 0; i < bench->count; i++) {
		const struct target *target = target_find(bench->metrics[i].name);
		struct metric_summary summary;

		if (!target || !bench->metrics[i].rounds)
			continue;
		metric_sum_up(&bench->metrics[i], &summary);
		measured++;
		reached += target_reached(target, summary.median);
	}
	printf("\n%u of %u targets reached\n", reached, measured);
}

static void json_metric(struct json *json, const struct metric *metric)
{
	const struct target *target = target_find(metric->name);
	struct metric_summary summary;

	metric_sum_up(metric, &summary);
	json_open(json, NULL, '{');
	json_string(json, "name", metric->name);
	json_string(json, "unit", metric->unit);
	json_real(json, "median", summary.median);
	if (summary.tail >= 0)
		json_real(json, "p99", summary.tail);
	json_real(json, "least", summary.least);
	json_real(json, "most", summary.most);
	json_number(json, "rounds", metric->rounds);
	if (target) {
		json_string(json, "target", target->text);
		json_real(json, target->at_least ? "at_least" : "at_most", target->value);
		json_bool(json, "reached", target_reached(target, summary.median));
	}
	json_close(json);
}

int print_json(const struct bench *bench, const struct machine *machine, const char *path)
{
	FILE *file = fopen(path, "we");
	struct json json;
	int err = 0;

	if (!file)
		return -errno;
	json_init(&json, file);
	json_open(&json, NULL, '{');
	json_open(&json, "machine", '{');
	json_string(&json, "cpu", machine->cpu);
	json_number(&json, "cores", machine->cores);
	json_number(&json, "memory_bytes", machine->memory_bytes);
	json_string(&json, "kernel", machine->kernel);
	json_string(&json, "kvm", machine->kvm);
	json_string(&json, "date", machine->date);
	json_real(&json, "load", machine->load);
	json_close(&json);
	json_open(&json, "metrics", '[');
	for (u32 i = 0; i < bench->count; i++)
		json_metric(&json, &bench->metrics[i]);
	json_close(&json);
	json_close(&json);
	if (ferror(file))
		err = -EIO;
	if (fclose(file) && !err)
		err = -errno;
	return err;
}
