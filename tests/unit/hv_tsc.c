/* SPDX-License-Identifier: Apache-2.0 */
/* The time stamp counter's frequency. */
#include <criterion/criterion.h>

#include "hv/tsc.h"

/* In every build: an optimiser may order two readings otherwise. */
Test(hv_tsc, measurements_agree)
{
	u64 first = tsc_measure_khz();

	cr_expect_gt(first, 100000, "%lu kHz", first);
	for (u32 i = 0; i < 5; i++) {
		u64 khz = tsc_measure_khz();

		cr_expect_lt(khz, first + first / 20, "%lu and %lu kHz", khz, first);
		cr_expect_gt(khz, first - first / 20, "%lu and %lu kHz", khz, first);
	}
}
