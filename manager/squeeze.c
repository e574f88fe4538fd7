/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/squeeze.h"

#include "lib/clock.h"

u64 squeeze_default_rate(u64 budget_bytes)
{
	return MAX(budget_bytes / 8, 64 * MiB);
}

u64 squeeze_step(u64 limit, u64 target, u64 used, u64 reserve, u64 rate, u64 elapsed_ns)
{
	u64 most, floor;

	if (target >= limit)
		return target;
	/* In floating point: no rate and no time wraps the product. */
	most = (u64)MIN((double)rate * (double)elapsed_ns / NSEC_PER_SEC, (double)limit);
	floor = MAX(target, used + reserve);
	if (floor >= limit)
		return limit;
	return MAX(floor, limit - MIN(most, limit));
}
