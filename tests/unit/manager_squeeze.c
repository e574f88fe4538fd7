/* SPDX-License-Identifier: Apache-2.0 */
/* A budget on its way down: bounded by rate, by what is used, by its goal. */
#include <criterion/criterion.h>

#include "lib/clock.h"
#include "manager/squeeze.h"

Test(manager_squeeze, up_is_at_once)
{
	cr_expect_eq(squeeze_step(GiB, 2 * GiB, GiB, MiB, 1, 1), 2 * GiB);
	cr_expect_eq(squeeze_step(GiB, GiB, GiB, MiB, 1, 1), GiB);
}

Test(manager_squeeze, down_is_no_faster_than_the_rate)
{
	cr_expect_eq(squeeze_step(GiB, 512 * MiB, 0, 0, 64 * MiB, NSEC_PER_SEC), GiB - 64 * MiB);
	cr_expect_eq(squeeze_step(GiB, 512 * MiB, 0, 0, 64 * MiB, NSEC_PER_SEC / 4),
		     GiB - 16 * MiB);
	cr_expect_eq(squeeze_step(GiB, 512 * MiB, 0, 0, 64 * MiB, 0), GiB);
}

Test(manager_squeeze, never_below_what_is_used_and_the_reserve)
{
	cr_expect_eq(squeeze_step(GiB, 512 * MiB, GiB - 8 * MiB, 4 * MiB, GiB, NSEC_PER_SEC),
		     GiB - 4 * MiB);
	cr_expect_eq(squeeze_step(GiB, 512 * MiB, GiB, 4 * MiB, GiB, NSEC_PER_SEC), GiB);
}

Test(manager_squeeze, ends_at_the_goal_whatever_the_numbers)
{
	cr_expect_eq(squeeze_step(GiB, 512 * MiB, 0, 0, GiB, 100 * NSEC_PER_SEC), 512 * MiB);
	cr_expect_eq(squeeze_step(UINT64_MAX, 32 * MiB, 0, 0, UINT64_MAX, UINT64_MAX), 32 * MiB);
}
