/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/squeeze.h"

#include "lib/clock.h"

u64 squeeze_default_rate(u64 budget_bytes)
{
	return MAX(budget_bytes / 8, 64 * MiB);
}

u64 squeeze_step(u64 limit, u64 target, u64 used, u64 reserve, u64 rate, u64 elapsed_ns)
{
	/* In floating point: no rate and no time wraps the product. */
	double most = (double)rate * (double)elapsed_ns / (double)NSEC_PER_SEC;
	u64 floor, next;

	if (target >= limit)
		return target;
	floor = MAX(target, used + reserve);
	if (floor >= limit)
		return limit;
	next = most < (double)(limit - floor) ? limit - (u64)most : floor;
	/* The kernel's limits are in pages. */
	return MAX(floor, ALIGN_DOWN(next, PAGE_SIZE));
}
