/* SPDX-License-Identifier: Apache-2.0 */
/* Putting figures down, and what the rounds of one come to. */
#include "bench/metric.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct metric *find(struct bench *bench, const char *name)
{
	for (u32 i = 0; i < bench->count; i++)
		if (!strcmp(bench->metrics[i].name, name))
			return &bench->metrics[i];
	return NULL;
}

static struct metric *find_or_add(struct bench *bench, const char *name, const char *unit)
{
	struct metric *metric = find(bench, name);

	if (metric || bench->count == BENCH_METRICS)
		return metric;
	metric = &bench->metrics[bench->count++];
	snprintf(metric->name, sizeof(metric->name), "%s", name);
	snprintf(metric->unit, sizeof(metric->unit), "%s", unit);
	return metric;
}

void bench_put(struct bench *bench, double value, double tail, const char *unit, const char *format,
	       ...)
{
	char name[BENCH_NAME_MAX];
	struct metric *metric;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	metric = find_or_add(bench, name, unit);
	if (!metric || metric->rounds == BENCH_ROUNDS_MAX)
		return;
	metric->value[metric->rounds] = value;
	metric->tail[metric->rounds++] = tail;
}

double bench_last(const struct bench *bench, const char *format, ...)
{
	char name[BENCH_NAME_MAX];
	const struct metric *metric;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	metric = find((struct bench *)bench, name);
	return metric && metric->rounds ? metric->value[metric->rounds - 1] : 0;
}

int bench_fail(struct bench *bench, int err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(bench->note, sizeof(bench->note), format, arguments);
	va_end(arguments);
	return err;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(const double *values, u32 count)
{
	double sorted[BENCH_ROUNDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void metric_sum_up(const struct metric *metric, struct metric_summary *summary)
{
	*summary = (struct metric_summary){.tail = -1};
	if (!metric->rounds)
		return;
	summary->median = median(metric->value, metric->rounds);
	summary->tail = median(metric->tail, metric->rounds);
	summary->least = summary->most = metric->value[0];
	for (u32 i = 1; i < metric->rounds; i++) {
		summary->least = MIN(summary->least, metric->value[i]);
		summary->most = MAX(summary->most, metric->value[i]);
	}
}
