/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring the time stamp counter. */
#include "hv/tsc.h"

#include <x86intrin.h>

#include "lib/clock.h"

#define TSC_WINDOW (10 * NSEC_PER_MSEC)
#define TSC_TRIES  8U

/* Both clocks at one moment: of some tries the one in which nothing came between. */
static u64 read_both(u64 *now_ns)
{
	u64 least_ns = UINT64_MAX, ticks = 0;

	for (u32 i = 0; i < TSC_TRIES; i++) {
		u64 before_ns = clock_now_ns(), between = __rdtsc();
		u64 took_ns = clock_now_ns() - before_ns;

		if (took_ns >= least_ns)
			continue;
		least_ns = took_ns;
		ticks = between;
		*now_ns = before_ns;
	}
	return ticks;
}

u64 tsc_measure_khz(void)
{
	u64 began_ns = 0, ended_ns = 0;
	u64 began = read_both(&began_ns), ended;

	while (clock_now_ns() - began_ns < TSC_WINDOW)
		;
	ended = read_both(&ended_ns);
	return (ended - began) * (NSEC_PER_SEC / 1000) / (ended_ns - began_ns);
}
