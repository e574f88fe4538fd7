/* SPDX-License-Identifier: Apache-2.0 */
/* Where missing pages are wanted more than elsewhere: pure, so every case can be made. */
#include <criterion/criterion.h>

#include "mem/region.h"
#include "mem/sought.h"

#define REGIONS 32U
#define GUESTS	4U

/* Four guests of equal size, all of which is stored. */
struct host {
	struct sought sought;
	struct sought_count region[GUESTS][REGIONS], guest[GUESTS];
	u64 left;
};

static void turn(struct host *host, u64 left)
{
	host->left += left;
	sought_advance(&host->sought, host->left, GUESTS * REGIONS * REGION_PAGES,
		       GUESTS * REGIONS * REGION_PAGES);
}

static void fault(struct host *host, u32 guest, u32 region, u32 pages)
{
	turn(host, 0);
	sought_note(&host->sought, &host->region[guest][region], &host->guest[guest], pages);
}

static bool sought(const struct host *host, u32 guest, u32 region)
{
	return sought_here(&host->sought, &host->region[guest][region], REGION_PAGES,
			   &host->guest[guest], REGIONS * REGION_PAGES);
}

static void all_fault_everywhere(struct host *host, u32 times)
{
	for (u32 i = 0; i < GUESTS * REGIONS * times; i++)
		fault(host, i % GUESTS, i / GUESTS % REGIONS, 1);
}

Test(mem_sought, nothing_is_sought_where_all_is_wanted_alike)
{
	struct host host = {0};

	cr_expect_not(sought(&host, 0, 0), "nobody has asked for anything");
	all_fault_everywhere(&host, 20);
	for (u32 i = 0; i < GUESTS * REGIONS; i++)
		cr_expect_not(sought(&host, i % GUESTS, i / GUESTS));
}

Test(mem_sought, a_working_set_is_sought_and_the_rest_is_not)
{
	struct host host = {0};

	all_fault_everywhere(&host, 10);
	for (u32 i = 0; i < 200; i++)
		fault(&host, 0, 3, 1);
	for (u32 i = 0; i < REGIONS; i++)
		cr_expect_eq(sought(&host, 0, i), i == 3, "region %u", i);
}

/* A guest that wakes up among idle ones: what it wants next it has not asked for yet. */
Test(mem_sought, a_busy_guest_among_idle_ones_is_sought_everywhere)
{
	struct host host = {0};

	for (u32 i = 0; i < 100; i++)
		fault(&host, 0, i % 4, 1);
	cr_expect(sought(&host, 0, 20), "a region of it without a fault");
	cr_expect_not(sought(&host, 1, 20), "the other's");
}

/* A group stands for the faults that it spares. */
Test(mem_sought, what_comes_in_groups_goes_on_being_sought)
{
	struct host host = {0};

	all_fault_everywhere(&host, 10);
	for (u32 i = 0; i < 32; i++)
		fault(&host, 0, 3, GROUP_PAGES);
	cr_expect(sought(&host, 0, 3));
}

Test(mem_sought, is_forgotten_as_memory_leaves)
{
	struct host host = {0};

	for (u32 i = 0; i < 200; i++)
		fault(&host, 0, 3, 1);
	cr_expect(sought(&host, 0, 3));
	for (u32 i = 0; i < 8; i++) {
		turn(&host, GUESTS * REGIONS * REGION_PAGES / 2);
		all_fault_everywhere(&host, 4);
	}
	cr_expect_not(sought(&host, 0, 3));
	cr_expect_lt(host.sought.all.faults, 2 * GUESTS * REGIONS * 4 + 1, "the sum fades as well");
}
