/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of frames out of lists of frames. */
#include <criterion/criterion.h>

#include "balloon/runs.h"

#define MANY 5000

static u32 frames[MANY], scratch[MANY];
static struct balloon_run runs[MANY];

Test(balloon_runs, descending_frames_are_one_run)
{
	for (u32 i = 0; i < MANY; i++)
		frames[i] = 2 * MANY - i;
	cr_assert_eq(balloon_make_runs(frames, scratch, MANY, runs), 1);
	cr_assert_eq(runs[0].first, MANY + 1);
	cr_assert_eq(runs[0].count, MANY);
}

Test(balloon_runs, shuffled_frames_are_sorted_and_doubles_dropped)
{
	for (u32 i = 0; i < MANY; i++)
		frames[i] = i * 7919 % 2500 * 2; /* each twice, none beside another */
	cr_assert_eq(balloon_make_runs(frames, scratch, MANY, runs), 2500);
	for (u32 i = 0; i < 2500; i++)
		cr_assert(runs[i].first == 2 * i && runs[i].count == 1);
}

Test(balloon_runs, largest_numbers_do_not_wrap)
{
	frames[0] = UINT32_MAX;
	frames[1] = 0;
	frames[2] = UINT32_MAX - 1;
	cr_assert_eq(balloon_make_runs(frames, scratch, 3, runs), 2);
	cr_assert_eq(runs[1].first, UINT32_MAX - 1);
	cr_assert_eq(runs[1].count, 2);
	cr_assert_eq(balloon_make_runs(frames, scratch, 0, runs), 0);
}

Test(balloon_runs, only_whole_frames_are_within)
{
	struct balloon_run run;

	cr_assert(balloon_run_within(4095, 2 * 4096, &run));
	cr_assert_eq(run.first, 1);
	cr_assert_eq(run.count, 1);
	cr_assert_not(balloon_run_within(1, 4096, &run));
	cr_assert_not(balloon_run_within(0, 0, &run));
	cr_assert_not(balloon_run_within(UINT64_MAX - 10, 11, &run));
	cr_assert_not(balloon_run_within(UINT64_MAX - 10, 4096, &run));
}
