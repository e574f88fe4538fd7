/* SPDX-License-Identifier: Apache-2.0 */
/* Pressure: the times are added as they pass, and the averages follow as the kernel's do. */
#include <criterion/criterion.h>

#include "lib/clock.h"
#include "mem/pressure.h"

#define S NSEC_PER_SEC

Test(mem_pressure, some_is_one_waiting_and_full_all)
{
	struct pressure_average average = {0};
	struct pressure pressure;

	pressure_init(&pressure, 2);
	pressure_wait(&pressure, 1, 10 * S);
	pressure_wait(&pressure, 1, 11 * S);
	pressure_wait(&pressure, -1, 14 * S);
	pressure_wait(&pressure, -1, 15 * S);
	pressure_sample(&pressure, &average, 20 * S);
	cr_expect_eq(average.some_ns, 5 * S);
	cr_expect_eq(average.full_ns, 3 * S);
	pressure_destroy(&pressure);
}

Test(mem_pressure, what_threads_wait_is_summed)
{
	struct pressure pressure;

	pressure_init(&pressure, 4);
	pressure_wait(&pressure, 1, 10 * S);
	pressure_wait(&pressure, 1, 11 * S);
	cr_expect_eq(pressure_waited_ns(&pressure, 12 * S), 3 * S);
	pressure_wait(&pressure, -2, 14 * S);
	cr_expect_eq(pressure_waited_ns(&pressure, 20 * S), 7 * S);
	pressure_destroy(&pressure);
}

Test(mem_pressure, a_wait_that_goes_on_counts_up_to_the_sample)
{
	struct pressure_average average = {0};
	struct pressure pressure;

	pressure_init(&pressure, 1);
	pressure_wait(&pressure, 1, 10 * S);
	pressure_sample(&pressure, &average, 12 * S);
	cr_expect_eq(average.full_ns, 2 * S);
	pressure_sample(&pressure, &average, 13 * S);
	cr_expect_eq(average.some_ns, 3 * S);
	pressure_destroy(&pressure);
}

Test(mem_pressure, averages_approach_what_lasts_and_decay_after)
{
	struct pressure_average average = {0};
	struct pressure pressure;
	u64 now = S;

	pressure_init(&pressure, 4);
	pressure_sample(&pressure, &average, now);
	pressure_wait(&pressure, 1, now);
	for (u32 i = 0; i < 30; i++)
		pressure_sample(&pressure, &average, now += 2 * S);
	/* After 60 s of waiting: 1 - e^-6, 1 - e^-1, 1 - e^-0.2. */
	cr_expect_float_eq(average.some[0], 99.75, 0.01);
	cr_expect_float_eq(average.some[1], 63.21, 0.01);
	cr_expect_float_eq(average.some[2], 18.13, 0.01);
	cr_expect_eq(average.full[0], 0);
	pressure_wait(&pressure, -1, now);
	pressure_sample(&pressure, &average, now += 10 * S);
	cr_expect_float_eq(average.some[0], 36.70, 0.01);
	pressure_destroy(&pressure);
}

Test(mem_pressure, clocks_that_cross_add_nothing)
{
	struct pressure_average average = {0};
	struct pressure pressure;

	pressure_init(&pressure, 1);
	pressure_wait(&pressure, 1, 10 * S);
	pressure_wait(&pressure, -1, 9 * S);
	pressure_sample(&pressure, &average, 11 * S);
	cr_expect_eq(average.some_ns, 0);
	pressure_destroy(&pressure);
}
