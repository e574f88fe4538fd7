/* SPDX-License-Identifier: Apache-2.0 */
/* The division of memory, as properties that hold for any guests. */
#include <criterion/criterion.h>

#include "balloon/shares.h"
#include "tests/unit/mem_rig.h"

#define GUESTS 12
#define ROUNDS 2000
/* What rounding may move: less than a page, for all together. */
#define CRUMBS (PAGE_SIZE / 2)

static u64 below(u64 *random, u64 limit)
{
	return mem_random(random) % (limit + 1);
}

static u32 make_claims(struct claim *claims, u64 *random)
{
	u32 count = 1 + (u32)below(random, GUESTS - 1);

	for (u32 i = 0; i < count; i++) {
		u64 memory = (1 + below(random, 4096)) * MiB;

		claims[i] = (struct claim){
			.shares = 1 + (u32)below(random, 20000),
			.has = below(random, memory),
			.cap = memory,
		};
		claims[i].active = below(random, claims[i].has);
		claims[i].want = below(random, memory);
		claims[i].floor = below(random, claims[i].want / 2);
	}
	return count;
}

static u64 sum(const struct claim *claims, u32 count, u64 offset)
{
	u64 total = 0;

	for (u32 i = 0; i < count; i++)
		total += *(const u64 *)((const char *)&claims[i] + offset);
	return total;
}

#define SUM(field) sum(claims, count, offsetof(struct claim, field))

Test(policy_shares, all_of_it_is_handed_out_and_no_more)
{
	struct claim claims[GUESTS];
	u64 random = 7;

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 count = make_claims(claims, &random);
		u64 bytes = below(&random, 2 * SUM(cap)), expected;

		shares_divide(claims, count, bytes, (u32)below(&random, 99));
		expected = MAX(MIN(bytes, SUM(cap)), SUM(floor));
		cr_assert_eq(SUM(share), expected, "%lu of %lu", SUM(share), expected);
	}
}

Test(policy_shares, nobody_is_below_the_floor_or_above_the_cap)
{
	struct claim claims[GUESTS];
	u64 random = 8;

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 count = make_claims(claims, &random);

		shares_divide(claims, count, below(&random, SUM(cap)), 75);
		for (u32 i = 0; i < count; i++) {
			cr_assert_geq(claims[i].share, claims[i].floor);
			cr_assert_leq(claims[i].share, claims[i].cap);
		}
	}
}

Test(policy_shares, more_shares_never_mean_less_memory)
{
	struct claim claims[GUESTS];
	u64 random = 9;

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 count = make_claims(claims, &random);
		u32 which = (u32)below(&random, count - 1);
		u64 bytes = below(&random, SUM(cap)), before;

		shares_divide(claims, count, bytes, 75);
		before = claims[which].share;
		claims[which].shares += 1 + (u32)below(&random, 10000);
		shares_divide(claims, count, bytes, 75);
		cr_assert_geq(claims[which].share + CRUMBS, before);
	}
}

Test(policy_shares, more_memory_never_means_less_for_anybody)
{
	struct claim claims[GUESTS];
	u64 random = 10, before[GUESTS];

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 count = make_claims(claims, &random);
		u64 bytes = below(&random, SUM(cap));

		shares_divide(claims, count, bytes, 75);
		for (u32 i = 0; i < count; i++)
			before[i] = claims[i].share;
		shares_divide(claims, count, bytes + below(&random, 64 * MiB), 75);
		for (u32 i = 0; i < count; i++)
			cr_assert_geq(claims[i].share + CRUMBS, before[i]);
	}
}

Test(policy_shares, active_guests_are_served_by_their_shares)
{
	struct claim claims[] = {
		{.shares = 2000, .has = GiB, .active = GiB, .want = GiB, .cap = GiB},
		{.shares = 1000, .has = GiB, .active = GiB, .want = GiB, .cap = GiB},
	};

	shares_divide(claims, 2, 900 * MiB, 75);
	cr_expect_leq(claims[0].share - 600 * MiB, PAGE_SIZE);
	cr_expect_leq(300 * MiB - claims[1].share, PAGE_SIZE);
}

/* Who uses all it has can get more, although nobody can see yet what it would do with that. */
Test(policy_shares, growth_is_not_taxed_before_it_is_there)
{
	struct claim claims[] = {
		{.shares = 1000, .has = 600 * MiB, .active = 600 * MiB, .want = GiB, .cap = GiB},
		{.shares = 1000, .has = 200 * MiB, .active = 200 * MiB, .want = GiB, .cap = GiB},
	};

	shares_divide(claims, 2, 800 * MiB, 75);
	cr_expect_eq(claims[0].share / MiB, 400);
	cr_expect_eq(claims[1].share / MiB, 400);
}

/* An idle page costs four times as much as an active one, at 75 %. */
Test(policy_shares, the_tax_takes_from_who_is_idle)
{
	static const struct {
		u32 tax;
		u64 idle; /* MiB of 1000 */
	} cases[] = {{0, 500}, {50, 333}, {75, 200}, {90, 90}};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct claim claims[] = {
			{.shares = 1000, .has = GiB, .active = GiB, .want = GiB, .cap = GiB},
			{.shares = 1000, .has = GiB, .active = 0, .want = GiB, .cap = GiB},
		};

		shares_divide(claims, 2, 1000 * MiB, cases[i].tax);
		cr_expect_eq(claims[1].share / MiB, cases[i].idle, "%u %%: %lu MiB", cases[i].tax,
			     claims[1].share / MiB);
	}
}

Test(policy_shares, nobody_is_taxed_while_there_is_enough)
{
	struct claim claims[] = {
		{.shares = 1000, .has = GiB, .active = GiB, .want = GiB, .cap = GiB},
		{.shares = 1, .has = GiB, .active = 0, .want = GiB, .cap = GiB},
	};

	shares_divide(claims, 2, 2 * GiB, 75);
	cr_expect_eq(claims[0].share, GiB);
	cr_expect_eq(claims[1].share, GiB);
}

Test(policy_shares, the_largest_guests_overflow_nothing)
{
	struct claim claims[2];
	u64 terabytes = 1ULL << 50;

	for (u32 i = 0; i < 2; i++)
		claims[i] = (struct claim){
			.shares = i ? SHARES_MAX : 1, .want = terabytes, .cap = terabytes};
	shares_divide(claims, 2, terabytes, 99);
	cr_expect_eq(claims[0].share + claims[1].share, terabytes);
	shares_divide(claims, 0, terabytes, 75);
}

Test(policy_shares, who_misses_nothing_pays_more_for_what_is_idle)
{
	struct claim claims[2];

	for (u32 calm = 1; calm <= 16; calm *= 4) {
		for (u32 i = 0; i < 2; i++)
			claims[i] = (struct claim){.shares = 100,
						   .has = 500 * MiB,
						   .active = i ? 500 * MiB : 0,
						   .want = 2 * GiB,
						   .cap = 2 * GiB,
						   .calm = i ? 1 : calm};
		shares_divide(claims, 2, 1000 * MiB, 75);
		/* k is 4, 13 and 49. */
		cr_expect_eq(claims[1].share / claims[0].share, 1 + 3 * calm, "%lu to %lu",
			     claims[1].share, claims[0].share);
		shares_divide(claims, 2, 1000 * MiB, 0);
		cr_expect_eq(claims[0].share, claims[1].share, "without a tax it is the shares");
	}
}
