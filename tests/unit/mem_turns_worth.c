/* SPDX-License-Identifier: Apache-2.0 */
/* Whether turns are worth it. */
#include <criterion/criterion.h>

#include "lib/clock.h"
#include "mem/turns_worth.h"

#define LOOK_NS (4 * NSEC_PER_MSEC)
#define SECOND	(NSEC_PER_SEC / LOOK_NS) /* in looks */

/* So many guests lose so much of their time, in 1024ths, while turns are taken and while they are not; and so many turns end
 * at a look. */
struct host {
	u64 guests, with, without;
	u32 ended;
	u64 look_ns, now_ns;
	struct turns_worth worth;
};

static struct host host_with(u64 guests, u64 with, u64 without)
{
	struct host host = {.guests = guests,
			    .with = with,
			    .without = without,
			    .ended = 1,
			    .look_ns = LOOK_NS,
			    .now_ns = NSEC_PER_SEC};

	turns_worth_init(&host.worth);
	return host;
}

/* How many of the next looks find turns taken. */
static u64 look(struct host *host, u64 looks)
{
	u64 taken = 0;

	for (u64 i = 0; i < looks; i++) {
		bool with = host->worth.mode == TURNS_TAKEN;
		struct loss loss = {
			.shares = host->guests * (with ? host->with : host->without),
			.guests = host->guests,
			.looks = 1,
		};

		taken += with;
		host->now_ns += host->look_ns;
		turns_worth_look(&host->worth, host->now_ns, &loss, host->ended);
	}
	return taken;
}

Test(mem_turns_worth, who_loses_little_or_is_alone_needs_none)
{
	struct host little = host_with(4, 0, SHARE_ONE / 10), alone = host_with(1, 0, SHARE_ONE);

	cr_expect_eq(look(&little, 10 * SECOND), 0);
	cr_expect_eq(look(&alone, 10 * SECOND), 0);
}

Test(mem_turns_worth, they_go_on_where_guests_lose_less_with_them)
{
	/* That half is lost is all that can be seen of what is lost without. */
	struct host host = host_with(4, SHARE_ONE / 2, SHARE_ONE / 2);

	look(&host, 1);
	/* Trials after 3, 6, 12, 24 and 48 seconds, of 0.3 each. */
	cr_expect_geq(look(&host, 95 * SECOND), 93 * SECOND);
}

Test(mem_turns_worth, they_are_given_up_where_guests_lose_more_with_them)
{
	struct host host = host_with(4, SHARE_ONE * 3 / 4, SHARE_ONE / 4);

	cr_expect_geq(look(&host, 3 * SECOND), 3 * SECOND - 2);
	look(&host, SECOND);
	/* They are tried again after 3, 6, 12, 24 and 48 seconds, for one. */
	cr_expect_leq(look(&host, 100 * SECOND), 6 * SECOND);
}

Test(mem_turns_worth, a_verdict_can_change)
{
	struct host host = host_with(4, SHARE_ONE * 3 / 4, SHARE_ONE / 4);

	look(&host, 30 * SECOND);
	cr_expect_eq(host.worth.worth, false);
	host.with = SHARE_ONE / 4;
	look(&host, 60 * SECOND);
	cr_expect_geq(look(&host, 10 * SECOND), 9 * SECOND);
	cr_expect_eq(host.worth.worth, true);
}

Test(mem_turns_worth, who_does_not_thrash_without_them_loses_nothing)
{
	struct host host = host_with(4, SHARE_ONE * 3 / 4, SHARE_ONE * 3 / 4);

	while (host.worth.mode != TURNS_TRIAL)
		look(&host, 1);
	host.guests = 1;
	look(&host, SECOND);
	cr_expect_eq(host.worth.mode, TURNS_NO);
	cr_expect_eq(host.worth.worth, false);
}

Test(mem_turns_worth, guests_that_have_ended_do_not_count)
{
	struct host host = host_with(8, SHARE_ONE * 3 / 4, SHARE_ONE * 5 / 8);

	look(&host, SECOND);
	host.guests = 3;
	while (host.worth.mode != TURNS_TRIAL)
		look(&host, 1);
	look(&host, SECOND);
	cr_expect_eq(host.worth.mode, TURNS_TAKEN);
	cr_expect_eq(host.worth.worth, true);
}

Test(mem_turns_worth, a_verdict_is_forgotten_when_nobody_thrashes)
{
	struct host host = host_with(4, SHARE_ONE * 3 / 4, SHARE_ONE / 4);

	look(&host, 30 * SECOND);
	cr_expect_eq(host.worth.worth, false);
	host.guests = 0;
	look(&host, 4 * SECOND);
	cr_expect_eq(host.worth.mode, TURNS_FREE);
	/* Whoever comes then is given turns for as long as at first. */
	host.guests = 4;
	look(&host, 1);
	cr_expect_geq(look(&host, 3 * SECOND), 3 * SECOND - 2);
}

Test(mem_turns_worth, nobody_needs_them_any_more)
{
	struct host host = host_with(4, SHARE_ONE / 2, SHARE_ONE / 2);

	look(&host, SECOND);
	cr_expect_eq(host.worth.mode, TURNS_TAKEN);
	host.guests = 0;
	look(&host, 4 * SECOND);
	cr_expect_eq(host.worth.mode, TURNS_FREE);
}

Test(mem_turns_worth, the_first_turn_says_nothing_of_them)
{
	/* While the first guest is brought in nobody gets anything done. */
	struct host host = host_with(4, SHARE_ONE, SHARE_ONE / 2);

	host.ended = 0;
	look(&host, 1);
	cr_expect_eq(look(&host, 10 * SECOND), 10 * SECOND);
	host.ended = 1;
	host.with = SHARE_ONE / 2;
	cr_expect_geq(look(&host, 10 * SECOND), 9 * SECOND);
	cr_expect_eq(host.worth.worth, true);
}

Test(mem_turns_worth, a_trial_has_looks_enough_however_far_apart_they_are)
{
	struct host host = host_with(4, SHARE_ONE * 3 / 4, SHARE_ONE);

	host.look_ns = NSEC_PER_SEC / 10;
	while (host.worth.mode != TURNS_TRIAL)
		look(&host, 1);
	look(&host, 20);
	cr_expect_eq(host.worth.mode, TURNS_TRIAL);
	look(&host, 4);
	cr_expect_eq(host.worth.mode, TURNS_TAKEN);
	cr_expect_eq(host.worth.without.looks, 16);
}
