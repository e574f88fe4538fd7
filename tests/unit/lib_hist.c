/* SPDX-License-Identifier: Apache-2.0 */
/* Latency histograms against a sorted list of the same values. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/hist.h"

#define RECORDS 20000

static int by_value(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* Latencies are spread over orders of magnitude: a few bits of random width. */
static u64 random_ns(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 30 >> (*state >> 59);
}

Test(lib_hist, bucket_floors_ascend_and_lie_in_their_bucket)
{
	for (u32 i = 0; i < HIST_BUCKETS; i++) {
		cr_assert_eq(hist_bucket(hist_bucket_floor(i)), i, "bucket %u", i);
		if (i)
			cr_assert_eq(hist_bucket(hist_bucket_floor(i) - 1), i - 1, "bucket %u", i);
	}
}

Test(lib_hist, huge_values_fall_into_the_last_bucket)
{
	cr_expect_eq(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
	cr_expect_eq(hist_bucket(1ULL << 40), HIST_BUCKETS - 1);
}

Test(lib_hist, percentiles_are_exact_to_a_sixteenth)
{
	static const u32 permilles[] = {1, 10, 250, 500, 900, 990, 999, 1000};
	static struct hist hist;
	static u64 values[RECORDS];
	u64 state = 42;

	for (u32 i = 0; i < RECORDS; i++) {
		values[i] = random_ns(&state);
		hist_record(&hist, values[i]);
	}
	qsort(values, RECORDS, sizeof(values[0]), by_value);
	for (u32 i = 0; i < ARRAY_SIZE(permilles); i++) {
		u64 exact = values[((u64)RECORDS * permilles[i] + 999) / 1000 - 1];
		u64 told = hist_percentile(&hist, permilles[i]);

		cr_expect_geq(told, exact, "%u permille", permilles[i]);
		cr_expect_leq(told, exact + exact / HIST_SUB, "%u permille", permilles[i]);
	}
}

Test(lib_hist, an_empty_one_has_no_percentiles)
{
	static const struct hist hist;

	cr_expect_eq(hist_percentile(&hist, 500), 0);
	cr_expect_eq(hist_percentile(&hist, 1000), 0);
}

Test(lib_hist, no_percentile_exceeds_the_maximum)
{
	static struct hist hist;

	hist_record(&hist, 1000001);
	cr_expect_eq(hist_percentile(&hist, 1), 1000001);
	cr_expect_eq(hist_percentile(&hist, 1000), 1000001);
	hist_record(&hist, UINT64_MAX);
	cr_expect_eq(hist_percentile(&hist, 1000), UINT64_MAX);
}

Test(lib_hist, merging_equals_recording_into_one)
{
	static struct hist one, parts[2];
	u64 state = 7;

	for (u32 i = 0; i < RECORDS; i++) {
		u64 ns = random_ns(&state);

		hist_record(&one, ns);
		hist_record(&parts[i % 3 == 0], ns);
	}
	hist_merge(&parts[0], &parts[1]);
	cr_expect_arr_eq(&one, &parts[0], sizeof(one));
}
