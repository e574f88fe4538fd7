// SPDX-License-Identifier: Apache-2.0
/* Arithmetic without a C library, and the zipfian choice made with it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "guest-driver/fmath.h"
#include "guest-driver/random.h"
#include "guest-driver/zipf.h"

#define ITEMS 10000
#define DRAWS 1000000

static void expect_close(double got, double want, double tolerance)
{
	cr_expect(fabs(got - want) <= tolerance * fabs(want), "%.17g, not %.17g", got, want);
}

Test(guest_zipf, log_and_exp_agree_with_the_c_library)
{
	for (double x = 1e-9; x < 1e12; x *= 1.37)
		cr_expect(fabs(fmath_log(x) - log(x)) <= 1e-13 * fmax(1, fabs(log(x))), "%g", x);
	for (double x = -690; x < 690; x += 0.731)
		expect_close(fmath_exp(x), exp(x), 1e-12);
	cr_expect_eq(fmath_exp(-1000), 0);
}

Test(guest_zipf, pow_agrees_with_the_c_library)
{
	for (double base = 1e-6; base < 1e9; base *= 3.1) {
		for (double exponent = -3; exponent < 3; exponent += 0.37)
			expect_close(fmath_pow(base, exponent), pow(base, exponent), 1e-12);
	}
	for (double base = 0.01; base < 1; base += 0.01)
		expect_close(fmath_pow(base, 100), pow(base, 100), 1e-11);
	cr_expect_eq(fmath_pow(0, 2), 0);
}

Test(guest_zipf, zeta_is_the_sum_it_stands_for)
{
	static const u64 items[] = {1, 2, 255, 256, 257, 5000, 1000000};
	static const u32 thetas[] = {0, 500, 900, 990, 999};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		for (size_t t = 0; t < ARRAY_SIZE(thetas); t++) {
			struct zipf zipf;
			double sum = 0;

			zipf_init(&zipf, items[i], thetas[t]);
			for (u64 k = 1; k <= items[i]; k++)
				sum += pow((double)k, -(thetas[t] / 1000.0));
			expect_close(zipf.zeta, sum, 1e-10);
		}
	}
}

static u32 *draw(const struct zipf *zipf, u64 (*choose)(const struct zipf *, u64))
{
	u32 *seen = calloc(zipf->items, sizeof(*seen));
	u64 state = 1;

	for (u32 i = 0; i < DRAWS; i++) {
		u64 item = choose(zipf, random_next(&state));

		cr_assert_lt(item, zipf->items);
		seen[item]++;
	}
	return seen;
}

Test(guest_zipf, popular_ranks_come_as_often_as_they_should)
{
	struct zipf zipf;
	double below = 0, want = 0;
	u32 *seen;

	zipf_init(&zipf, ITEMS, 990);
	seen = draw(&zipf, zipf_rank);
	expect_close(seen[0], DRAWS / zipf.zeta, 0.03);
	expect_close(seen[1], DRAWS / zipf.zeta / pow(2, 0.99), 0.05);
	for (u32 k = 0; k < 100; k++) {
		below += seen[k];
		want += DRAWS / zipf.zeta / pow(k + 1, 0.99);
	}
	/* Gray's formula is an approximation for ranks above 2: a tenth is its known accuracy. */
	expect_close(below, want, 0.1);
	free(seen);
}

Test(guest_zipf, theta_0_is_uniform)
{
	struct zipf zipf;
	u32 *seen;

	zipf_init(&zipf, 100, 0);
	seen = draw(&zipf, zipf_rank);
	for (u32 k = 0; k < 100; k++)
		expect_close(seen[k], DRAWS / 100.0, 0.06);
	free(seen);
}

Test(guest_zipf, scrambling_separates_the_hot_items)
{
	struct zipf zipf;
	u64 first, second;

	zipf_init(&zipf, ITEMS, 990);
	first = zipf_item(&zipf, 0);
	second = zipf_item(&zipf, (u64)(1.2 / zipf.zeta * 0x1p64));
	cr_expect_gt(llabs((long long)(first - second)), 100);
	free(draw(&zipf, zipf_item));
}

Test(guest_zipf, few_items_work_too)
{
	for (u64 items = 1; items <= 3; items++) {
		struct zipf zipf;

		zipf_init(&zipf, items, 990);
		free(draw(&zipf, zipf_rank));
		free(draw(&zipf, zipf_item));
	}
}
