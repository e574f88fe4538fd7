/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/attr_text.h"

#include <errno.h>
#include <inttypes.h>
#include <numa.h>
#include <string.h>

#include "ctl/control.h"
#include "ctl/format.h"
#include "ctl/outcome.h"
#include "lib/clock.h"

/* One line, whatever a guest put into it; nothing for nothing. */
static void put_words(const char *words, FILE *out)
{
	char line[ATTACH_TEXT_MAX];

	snprintf(line, sizeof(line), "%s", words);
	format_printable(line);
	if (line[0])
		fprintf(out, "%s\n", line);
}

void text_host_name(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(control_name(view->control), out);
}

static void put_pressure(const char *what, const double *averages, u64 total_ns, FILE *out)
{
	fprintf(out, "%s avg10=%.2f avg60=%.2f avg300=%.2f total=%" PRIu64 "\n", what, averages[0],
		averages[1], averages[2], total_ns / NSEC_PER_USEC);
}

void text_host_pressure(const struct attr_view *view, u32 state, FILE *out)
{
	const struct pressure_snapshot *pressure = &view->host->pressure;

	(void)state;
	put_pressure("some", pressure->some, pressure->some_ns, out);
	put_pressure("full", pressure->full, pressure->full_ns, out);
}

void text_guest_pressure(const struct attr_view *view, u32 state, FILE *out)
{
	const struct pressure_snapshot *pressure = &view->guest->pressure;

	(void)state;
	put_pressure("some", pressure->some, pressure->some_ns, out);
	put_pressure("full", pressure->full, pressure->full_ns, out);
}

void text_last_error(const struct attr_view *view, u32 state, FILE *out)
{
	char error[ATTR_ERROR_MAX];

	(void)state;
	control_last_error(view->control, view->guest ? (int)view->index : -1, error,
			   sizeof(error));
	put_words(error, out);
}

void text_compressor(const struct attr_view *view, u32 state, FILE *out)
{
	(void)view;
	(void)state;
	fputs("lz4\n", out);
}

void text_guest_state(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(outcome_exit_name(view->guest), out);
}

void text_guest_exit(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(view->guest->exit_text, out);
}

void text_guest_accel(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(outcome_accel_name(view->guest->accel), out);
}

void text_guest_phase(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(view->guest->phase, out);
}

void text_guest_workload(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(view->guest->workload, out);
}

void text_guest_node(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	if (view->guest->node < 0)
		fputs("any\n", out);
	else
		fprintf(out, "%d\n", view->guest->node);
}

void text_guest_salt(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	put_words(view->guest->salt, out);
}

int take_salt(const struct attr_target *target, const char *text, char *error, size_t size)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~')
			length = ATTACH_NAME_MAX;
	if (length < ATTACH_NAME_MAX)
		return manager_set_salt(target->manager, target->index, text, error, size);
	snprintf(error, size, "a salt has at most %d characters, all of them printable",
		 ATTACH_NAME_MAX - 1);
	return -EINVAL;
}

void text_stats_age(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	if (view->guest->balloon.stats_age_ms != UINT64_MAX && view->guest->balloon.valid)
		fprintf(out, "%" PRIu64 "\n", view->guest->balloon.stats_age_ms);
}

void text_stat(const struct attr_view *view, u32 state, FILE *out)
{
	if (view->guest->balloon.valid >> state & 1)
		fprintf(out, "%" PRIu64 "\n", view->guest->balloon.values[state]);
}

const char *attr_stat_name(u32 tag)
{
	static const char folder[] = "balloon/stats/";
	const struct attr_table *table = &attr_tables[ATTR_GUEST];

	for (u32 i = 0; i < table->count; i++)
		if (table->attrs[i].text == text_stat && table->attrs[i].state == tag)
			return table->attrs[i].path + strlen(folder);
	return "unknown";
}

void text_ages(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	for (u32 i = 0; i + 1 < SAMPLER_AGES; i++)
		fprintf(out, "below_s %lu %" PRIu64 "\n", 1UL << i,
			view->guest->policy.age_bytes[i]);
	fprintf(out, "more %" PRIu64 "\n", view->guest->policy.age_bytes[SAMPLER_AGES - 1]);
}

void latency_steps(const struct hist *hist, u64 steps[LATENCY_STEPS])
{
	u64 below = 0;
	u32 bucket = 0;

	for (u32 i = 0; i < LATENCY_STEPS; i++) {
		for (; bucket < HIST_BUCKETS &&
		       hist_bucket_floor(bucket) < 1UL << (LATENCY_FIRST + i);
		     bucket++)
			below += hist->buckets[bucket];
		steps[i] = below;
	}
}

void text_latency(const struct attr_view *view, u32 state, FILE *out)
{
	const struct hist *hist = &view->guest->fault_latency[state];
	u64 steps[LATENCY_STEPS], before = 0;

	latency_steps(hist, steps);
	fprintf(out, "count %" PRIu64 "\nsum_us %" PRIu64 "\n", hist->count,
		hist->sum / NSEC_PER_USEC);
	fprintf(out,
		"p50_us %" PRIu64 "\np99_us %" PRIu64 "\np999_us %" PRIu64 "\nmax_us %" PRIu64 "\n",
		hist_percentile(hist, 500) / NSEC_PER_USEC,
		hist_percentile(hist, 990) / NSEC_PER_USEC,
		hist_percentile(hist, 999) / NSEC_PER_USEC, hist->max / NSEC_PER_USEC);
	for (u32 i = 0; i < LATENCY_STEPS; i++) {
		if (steps[i] != before)
			fprintf(out, "below_ns %lu %" PRIu64 "\n", 1UL << (LATENCY_FIRST + i),
				steps[i] - before);
		before = steps[i];
	}
	if (hist->count > before)
		fprintf(out, "more %" PRIu64 "\n", hist->count - before);
}

u64 node_size(const struct attr_view *view)
{
	long long size = numa_available() < 0 ? 0 : numa_node_size64((int)view->node, NULL);

	return (u64)MAX(size, 0LL);
}

u64 node_free(const struct attr_view *view)
{
	long long size, left = 0;

	size = numa_available() < 0 ? 0 : numa_node_size64((int)view->node, &left);
	return size > 0 ? (u64)MAX(left, 0LL) : 0;
}

static struct node_snapshot node_now(const struct attr_view *view)
{
	struct node_snapshot node;

	manager_node_snapshot(control_manager(view->control), view->node, &node);
	return node;
}

u64 node_shared(const struct attr_view *view)
{
	return node_now(view).shared;
}

u64 node_pool(const struct attr_view *view)
{
	return node_now(view).pool;
}

u64 node_resident(const struct attr_view *view)
{
	return node_now(view).resident;
}
