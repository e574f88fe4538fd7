/* SPDX-License-Identifier: Apache-2.0 */
/* The advisor: how many pages between two pauses. */
#include <criterion/criterion.h>

#include "ksm/advisor.h"
#include "lib/clock.h"

#define SLEEP_MS     20
#define PAGE_SECONDS 1e-6

static struct advisor advisor = {
	.target_scan_time = 100, .max_cpu = 70, .sleep_millisecs = SLEEP_MS};

/* A full scan of `memory` pages, so many between two pauses. */
static struct advisor_scan scan_of(u64 memory, u32 pages_to_scan)
{
	return (struct advisor_scan){
		.seconds = (double)memory / pages_to_scan * SLEEP_MS / 1000 +
			   (double)memory * PAGE_SECONDS,
		.cpu_seconds = (double)memory * PAGE_SECONDS,
		.pages = memory,
	};
}

static u32 settle(u64 memory, u32 pages)
{
	for (u32 i = 0; i < 60; i++) {
		struct advisor_scan scan = scan_of(memory, pages);

		pages = advisor_next(&advisor, &scan, pages);
	}
	return pages;
}

Test(ksm_advisor, a_full_scan_comes_to_take_what_it_should)
{
	const u64 memory = 16 * GiB / PAGE_SIZE;

	for (u32 from = 100; from <= 1000000; from *= 100) {
		struct advisor_scan scan = scan_of(memory, settle(memory, from));

		cr_expect_gt(scan.seconds, 80, "%f s", scan.seconds);
		cr_expect_lt(scan.seconds, 120, "%f s", scan.seconds);
	}
}

Test(ksm_advisor, it_takes_no_more_processor_than_it_may)
{
	const u64 memory = 1024 * GiB / PAGE_SIZE; /* too much for the target */
	u32 pages;

	advisor.max_cpu = 10;
	pages = settle(memory, 100);
	cr_expect_leq(pages * PAGE_SECONDS,
		      0.1 * (pages * PAGE_SECONDS + SLEEP_MS / 1000.0) * 1.01);
	cr_expect_geq(pages, 2000);
}

Test(ksm_advisor, it_stays_within_its_bounds)
{
	struct advisor_scan none = {.seconds = 0, .pages = 0}, slow = {.seconds = 1e9, .pages = 1};

	cr_expect_geq(advisor_next(&advisor, &none, 1), ADVISOR_MIN_PAGES);
	cr_expect_leq(advisor_next(&advisor, &slow, UINT32_MAX), ADVISOR_MAX_PAGES);
}

Test(ksm_advisor, one_odd_scan_turns_little)
{
	const u64 memory = 16 * GiB / PAGE_SIZE;
	u32 pages = settle(memory, 1000), next;
	struct advisor_scan odd = scan_of(memory, pages);

	odd.seconds *= 3;
	next = advisor_next(&advisor, &odd, pages);
	cr_expect_lt(next, pages * 2);
	cr_expect_gt(next, pages);
}

Test(ksm_advisor, a_scan_is_worth_what_it_shares)
{
	u32 worth = ADVISOR_WORTH_MAX;

	cr_expect_eq(advisor_worth(worth, 0, 0), worth, "what is seen first says nothing");
	for (u32 i = 0; i < 100; i++)
		worth = advisor_worth(worth, 1000, 250);
	cr_expect_lt(worth, ADVISOR_WORTH_MAX / 4 + ADVISOR_WORTH_MAX / 128);
	cr_expect_gt(worth, ADVISOR_WORTH_MAX / 4 - ADVISOR_WORTH_MAX / 128);
	for (u32 i = 0; i < 100; i++)
		worth = advisor_worth(worth, 1000, 0);
	cr_expect_lt(worth, ADVISOR_WORTH_MAX / 100);
	cr_expect_leq(advisor_worth(worth, 10, 500), ADVISOR_WORTH_MAX, "partners are taken unseen");
	cr_expect_eq(advisor_worth(worth, 1000000, 1000000), ADVISOR_WORTH_MAX);
}

Test(ksm_advisor, few_pages_say_little_of_what_a_scan_is_worth)
{
	u32 worth = 0;

	for (u32 i = 0; i < 20; i++)
		worth = advisor_worth(worth, 2, 2);
	cr_expect_gt(worth, 0);
	cr_expect_lt(worth, ADVISOR_WORTH_MAX / 16);
	for (u32 i = 0; i < 10000; i++)
		worth = advisor_worth(worth, 4, 1);
	cr_expect_gt(worth, ADVISOR_WORTH_MAX / 5, "... but many few do");
	cr_expect_lt(worth, ADVISOR_WORTH_MAX / 3);
}

Test(ksm_advisor, a_scan_hurries_where_it_is_worth_it_and_memory_is_short)
{
	const u32 worth = ADVISOR_WORTH_MAX / 2, worthless = ADVISOR_WORTH_MAX / 17;

	cr_expect_eq(advisor_pace(ADVISOR_WORTH, worth, 24, 100), ADVISOR_HURRY);
	cr_expect_eq(advisor_pace(ADVISOR_WORTH, worth, 26, 100), ADVISOR_WORTH);
	cr_expect_eq(advisor_pace(ADVISOR_HURRY, worth, 49, 100), ADVISOR_HURRY);
	cr_expect_eq(advisor_pace(ADVISOR_HURRY, worth, 51, 100), ADVISOR_WORTH);
	cr_expect_eq(advisor_pace(ADVISOR_IDLE, worth, 0, 100), ADVISOR_HURRY);
	cr_expect_eq(advisor_pace(ADVISOR_HURRY, worthless, 0, 100), ADVISOR_IDLE);
}

Test(ksm_advisor, a_scan_that_finds_nothing_rests_and_one_in_a_hurry_does_not)
{
	const u64 ms = NSEC_PER_MSEC;
	struct advisor_batch batch = {
		.pages = 6400, .shared = 60, .fresh = 40, .worked_ns = 10 * ms};

	cr_expect_eq(advisor_pause(ADVISOR_HURRY, &batch, 20 * ms), ms);
	cr_expect_eq(advisor_pause(ADVISOR_HURRY, &batch, 0), 0);
	cr_expect_eq(advisor_pause(ADVISOR_WORTH, &batch, 20 * ms), 20 * ms);
	cr_expect_eq(advisor_pause(ADVISOR_IDLE, &batch, 20 * ms), 160 * ms);
	cr_expect_eq(advisor_pause(ADVISOR_IDLE, &batch, 200 * ms), 200 * ms);
	batch.shared--;
	cr_expect_eq(advisor_pause(ADVISOR_HURRY, &batch, 20 * ms), 20 * ms, "that was too little");
	batch.worked_ns = 10 * NSEC_PER_SEC;
	cr_expect_eq(advisor_pause(ADVISOR_IDLE, &batch, 20 * ms), 5 * NSEC_PER_SEC);
	batch.fresh = 3200;
	cr_expect_eq(advisor_pause(ADVISOR_IDLE, &batch, 20 * ms), 20 * ms, "at first sight");
	batch = (struct advisor_batch){.pages = 0};
	cr_expect_eq(advisor_pause(ADVISOR_HURRY, &batch, 20 * ms), 20 * ms);
}
