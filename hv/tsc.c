/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring the time stamp counter. */
#include "hv/tsc.h"

#include <x86intrin.h>

#include "lib/clock.h"

#define TSC_WINDOW (10 * NSEC_PER_MSEC)

u64 tsc_measure_khz(void)
{
	u64 start = clock_now_ns();
	u64 ticks = __rdtsc();
	u64 elapsed;

	do {
		elapsed = clock_now_ns() - start;
	} while (elapsed < TSC_WINDOW);
	return (__rdtsc() - ticks) * (NSEC_PER_SEC / 1000) / elapsed;
}
