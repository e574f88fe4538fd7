/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/sought.h"

#include "mem/region.h"

/* So many faults of a region say as much as what is known of its guest. */
#define PRIOR_FAULTS 16U
/* Wanted so much more than the others, in halves. With less, chance brings groups where all is wanted alike: at 2
 * times overcommit zipfian stores then read a tenth more from disk. */
#define MARGIN_HALVES 5U
/* Fewer faults are no figure. */
#define FAULTS_MIN 8U

static u32 faults_now(const struct sought *sought, const struct sought_count *count)
{
	u32 age = sought->epoch - count->epoch;

	return age < 32 ? count->faults >> age : 0;
}

static void add(const struct sought *sought, struct sought_count *count, u32 faults)
{
	count->faults = faults_now(sought, count) + faults;
	count->epoch = sought->epoch;
}

void sought_advance(struct sought *sought, u64 left, u64 resident, u64 stored)
{
	u64 half_life = MAX(resident / 2, (u64)REGION_PAGES);

	sought->stored = stored;
	if (left - sought->began < half_life)
		return;
	sought->epoch += (u32)((left - sought->began) / half_life);
	sought->began = left;
}

void sought_note(struct sought *sought, struct sought_count *region, struct sought_count *guest,
		 u32 pages)
{
	u32 faults = MIN(pages, 2U);

	add(sought, region, faults);
	add(sought, guest, faults);
	add(sought, &sought->all, faults);
}

bool sought_here(const struct sought *sought, const struct sought_count *region, u64 region_missing,
		 const struct sought_count *guest, u64 guest_stored)
{
	u32 faults = faults_now(sought, &sought->all);
	u32 of_guest = faults_now(sought, guest);
	double here;

	if (faults < FAULTS_MIN || !of_guest)
		return false;
	here = (faults_now(sought, region) + PRIOR_FAULTS) /
	       ((double)region_missing + PRIOR_FAULTS * (double)guest_stored / of_guest);
	return 2 * here * (double)sought->stored > MARGIN_HALVES * (double)faults;
}
