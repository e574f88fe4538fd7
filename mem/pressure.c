/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/pressure.h"

#include <math.h>

#include "lib/clock.h"

static const double windows_s[PRESSURE_WINDOWS] = {10, 60, 300};

void pressure_init(struct pressure *pressure, u32 threads)
{
	*pressure = (struct pressure){.threads = threads};
	pthread_mutex_init(&pressure->lock, NULL);
}

void pressure_destroy(struct pressure *pressure)
{
	pthread_mutex_destroy(&pressure->lock);
}

/* Adds the time since the last change. Lock held. Clocks of two threads may cross: that adds nothing. */
static void account(struct pressure *pressure, u64 now_ns)
{
	u64 passed = now_ns > pressure->since_ns ? now_ns - pressure->since_ns : 0;

	if (pressure->waiting > 0) {
		pressure->some_ns += passed;
		pressure->waited_ns += passed * (u64)pressure->waiting;
	}
	if (pressure->threads && pressure->waiting >= pressure->threads)
		pressure->full_ns += passed;
	pressure->since_ns = MAX(pressure->since_ns, now_ns);
}

void pressure_wait(struct pressure *pressure, s32 more, u64 now_ns)
{
	pthread_mutex_lock(&pressure->lock);
	account(pressure, now_ns);
	pressure->waiting += more;
	pthread_mutex_unlock(&pressure->lock);
}

void pressure_add_threads(struct pressure *pressure, s32 more, u64 now_ns)
{
	pthread_mutex_lock(&pressure->lock);
	account(pressure, now_ns);
	pressure->threads = (u32)((s32)pressure->threads + more);
	pthread_mutex_unlock(&pressure->lock);
}

u64 pressure_waited_ns(struct pressure *pressure, u64 now_ns)
{
	u64 waited_ns;

	pthread_mutex_lock(&pressure->lock);
	account(pressure, now_ns);
	waited_ns = pressure->waited_ns;
	pthread_mutex_unlock(&pressure->lock);
	return waited_ns;
}

static void decay(double *averages, double percent, double seconds)
{
	for (u32 i = 0; i < PRESSURE_WINDOWS; i++) {
		double keep = exp(-seconds / windows_s[i]);

		averages[i] = averages[i] * keep + percent * (1 - keep);
	}
}

void pressure_sample(struct pressure *pressure, struct pressure_average *average, u64 now_ns)
{
	u64 passed = average->sampled_ns ? now_ns - average->sampled_ns : 0;
	u64 some, full;

	pthread_mutex_lock(&pressure->lock);
	account(pressure, now_ns);
	some = pressure->some_ns;
	full = pressure->full_ns;
	pthread_mutex_unlock(&pressure->lock);
	if (passed) {
		double whole = (double)passed / 100, seconds = (double)passed / NSEC_PER_SEC;

		decay(average->some, (double)(some - average->some_ns) / whole, seconds);
		decay(average->full, (double)(full - average->full_ns) / whole, seconds);
	}
	average->sampled_ns = now_ns;
	average->some_ns = some;
	average->full_ns = full;
}
