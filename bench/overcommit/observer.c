/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/observer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/overcommit/kthreads.h"
#include "bench/overcommit/textfile.h"
#include "lib/clock.h"

#define STEADY_SHARE 0.05

/* Seconds in which some task waited for memory, by the kernel's own account (PSI: the total of the
 * line "some", in microseconds). NAN where it keeps none. */
static double read_pressure(void)
{
	char text[256];
	const char *total;

	if (textfile_read("/proc/pressure/memory", text, sizeof(text)))
		return NAN;
	total = strstr(text, "total=");
	return total ? (double)strtoull(total + 6, NULL, 10) / 1e6 : NAN;
}

void observer_begin(struct observer *observer, const struct cell *cell, const struct scale *scale)
{
	const struct scenario *scenario = &scenarios[cell->scenario];

	memset(observer, 0, sizeof(*observer));
	for (u32 i = 0; i < SCENARIO_PARTS; i++)
		for (u32 j = 0; j < scenario->parts[i].count; j++)
			observer->guests[observer->count++].target =
				scenario_ops(&scenario->parts[i], scale);
	observer->began_ns = clock_now_ns();
	observer->kernel_cpu = kthreads_cpu();
	observer->pressure = read_pressure();
}

void observer_take_phase(struct observed *guest, const char *phase)
{
	guest->filled = guest->filled || (*phase && strcmp(phase, "boot") && strcmp(phase, "fill"));
}

static bool all_filled(const struct observer *observer)
{
	for (u32 i = 0; i < observer->count; i++)
		if (!observer->guests[i].filled)
			return false;
	return true;
}

void observer_sample(struct observer *observer, u64 bytes)
{
	u64 now = clock_now_ns();

	if (!observer->filled_ns && all_filled(observer)) {
		observer->filled_ns = now;
		observer->filled_sample = observer->samples;
	}
	if (observer->samples == OBSERVER_SAMPLES)
		return;
	observer->times[observer->samples] = (double)(now - observer->began_ns) / NSEC_PER_SEC;
	observer->memory[observer->samples++] = (double)bytes;
}

bool observer_done(const struct observer *observer)
{
	if (!observer->filled_ns)
		return false;
	for (u32 i = 0; i < observer->count; i++)
		if (observer->guests[i].target && !observer->guests[i].worked_ns)
			return false;
	return true;
}

bool observer_hopeless(const struct observer *observer, const struct cell_options *options)
{
	if (*options->interrupted ||
	    clock_now_ns() - observer->began_ns > options->patience_s * NSEC_PER_SEC)
		return true;
	for (u32 i = 0; i < observer->count; i++)
		if (observer->guests[i].ended)
			return true;
	return false;
}

static void memory_figures(const struct observer *observer, double *value)
{
	u32 first = observer->filled_ns ? observer->filled_sample : 0;
	double sum = 0, peak = 0;

	if (!observer->samples)
		return;
	first = MIN(first, observer->samples - 1);
	for (u32 i = 0; i < observer->samples; i++) {
		peak = MAX(peak, observer->memory[i]);
		if (i >= first)
			sum += observer->memory[i];
	}
	value[FIG_MEMORY_MEAN] = sum / (observer->samples - first);
	value[FIG_MEMORY_PEAK] = peak;
	value[FIG_STEADY] =
		steady_from(observer->times, observer->memory, observer->samples, STEADY_SHARE);
}

static void guest_figures(const struct observer *observer, bool from_start, double *value)
{
	double operations = 0, worked_ns = 0, fill_ns;
	static struct hist latency;
	u64 verified = 0;
	u32 workers = 0;

	memset(&latency, 0, sizeof(latency));
	for (u32 i = 0; i < observer->count; i++) {
		const struct observed *guest = &observer->guests[i];

		verified += guest->verified;
		if (!guest->target)
			continue;
		workers++;
		operations += (double)guest->ops;
		worked_ns += (double)guest->worked_ns;
		hist_merge(&latency, &guest->latency);
	}
	value[FIG_OPERATIONS] = operations;
	value[FIG_VERIFIED] = (double)verified;
	fill_ns = from_start ? (double)(observer->filled_ns - observer->began_ns) : 0;
	/* Of all workers together: as if each had taken what they took on average. */
	value[FIG_THROUGHPUT] =
		ratio_of(operations, (fill_ns + worked_ns / workers) / NSEC_PER_SEC);
	value[FIG_BUSY] = (double)latency.sum / NSEC_PER_SEC;
	value[FIG_P50] = (double)hist_percentile(&latency, 500) / NSEC_PER_USEC;
	value[FIG_P99] = (double)hist_percentile(&latency, 990) / NSEC_PER_USEC;
	value[FIG_P999] = (double)hist_percentile(&latency, 999) / NSEC_PER_USEC;
}

void observer_conclude(struct observer *observer, struct cell *cell)
{
	double *value = cell->value;

	value[FIG_DURATION] = (double)(clock_now_ns() - observer->began_ns) / NSEC_PER_SEC;
	value[FIG_CPU_KERNEL] = kthreads_cpu() - observer->kernel_cpu;
	value[FIG_PRESSURE] = read_pressure() - observer->pressure;
	guest_figures(observer, scenarios[cell->scenario].from_start, value);
	memory_figures(observer, value);
	if (observer->filled_ns)
		value[FIG_FILL] = (double)(observer->filled_ns - observer->began_ns) / NSEC_PER_SEC;
	for (u32 i = 0; i < observer->count; i++) {
		const struct observed *guest = &observer->guests[i];

		if (!guest->well || guest->failures) {
			cell_end(cell, CELL_FAILED, "guest %u: %.120s", i,
				 guest->why[0] ? guest->why : "did not end well");
			return;
		}
	}
	if (observer_done(observer))
		cell_end(cell, CELL_OK, "%s", "");
	else
		cell_end(cell, CELL_FAILED, "the work was not done in time");
}
