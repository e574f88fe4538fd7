/* SPDX-License-Identifier: Apache-2.0 */
/* The content index: what it remembers, what it may forget. */
#include <criterion/criterion.h>

#include "mem/budget.h"
#include "swap/hints.h"

static struct hints *make(u64 count)
{
	struct hints *hints;

	cr_assert_eq(hints_create(count, NULL, &hints), 0);
	return hints;
}

Test(swap_hints, the_newest_value_of_a_key_is_found)
{
	struct hints *hints = make(1024);
	u64 key = hints_key(42, 0);

	cr_expect_eq(hints_find(hints, key), HINT_NONE);
	hints_set(hints, key, 0);
	cr_expect_eq(hints_find(hints, key), 0);
	hints_set(hints, key, (1ULL << HINT_BITS) - 1);
	cr_expect_eq(hints_find(hints, key), (1ULL << HINT_BITS) - 1);
	hints_clear(hints, key, 7);
	cr_expect_neq(hints_find(hints, key), HINT_NONE);
	hints_clear(hints, key, (1ULL << HINT_BITS) - 1);
	cr_expect_eq(hints_find(hints, key), HINT_NONE);
	hints_destroy(hints);
}

Test(swap_hints, domains_have_keys_of_their_own)
{
	struct hints *hints = make(1024);

	for (u32 salt = 0; salt < 100; salt++)
		hints_set(hints, hints_key(42, salt), salt);
	for (u32 salt = 0; salt < 100; salt++)
		cr_expect_eq(hints_find(hints, hints_key(42, salt)), salt);
	hints_destroy(hints);
}

/* Half full nearly all is remembered; overfull, as many as there is room for, and nothing is made up. */
Test(swap_hints, what_overflows_is_forgotten_and_nothing_is_made_up)
{
	struct hints *hints = make(4096);
	u32 found = 0;

	for (u64 i = 0; i < 2048; i++)
		hints_set(hints, hints_key(i, 1), i);
	for (u64 i = 0; i < 2048; i++)
		found += hints_find(hints, hints_key(i, 1)) == i;
	cr_expect(found > 2000, "%u", found);
	for (u64 i = 2048; i < 65536; i++)
		hints_set(hints, hints_key(i, 1), i);
	found = 0;
	for (u64 i = 0; i < 65536; i++) {
		u64 value = hints_find(hints, hints_key(i, 1));

		cr_assert(value == i || value == HINT_NONE);
		found += value == i;
	}
	cr_expect(found > 4000 && found <= 4096, "%u", found);
	hints_destroy(hints);
}

Test(swap_hints, the_budget_pays_for_them)
{
	struct budget budget;
	struct hints *hints;

	budget_init(&budget, GiB);
	cr_assert_eq(hints_create(1000, &budget, &hints), 0);
	cr_expect_eq(budget.used, hints_bytes(hints));
	cr_expect_eq(hints_bytes(hints), 1000 * 8);
	hints_destroy(hints);
	cr_expect_eq(budget.used, 0);
}
