/* SPDX-License-Identifier: Apache-2.0 */
/* What the knobs may be. Who holds them is manager/policy.c. */
#include "manager/tuning.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "balloon/shares.h"

void policy_tuning_defaults(struct policy_tuning *tuning)
{
	*tuning = (struct policy_tuning){
		.active = true,
		.interval_ms = 250,
		.idle_tax_pct = 75,
		.state_pct = {400, 100, 64, 32, 16},
		.cold_age_s = 120,
		.reclaim_cold = true,
		.turns = true,
		.promotion_rate_target = 200,
	};
}

static int __attribute__((format(printf, 3, 4)))
refuse(char *why, u32 size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return -EINVAL;
}

int policy_tuning_check(const struct policy_tuning *tuning, char *why, u32 size)
{
	if (tuning->interval_ms < 10 || tuning->interval_ms > 60000)
		return refuse(why, size, "an interval of %u ms: should be 10 to 60000",
			      tuning->interval_ms);
	if (tuning->idle_tax_pct > 99)
		return refuse(why, size, "an idle tax of %u %%: should be 0 to 99",
			      tuning->idle_tax_pct);
	if (tuning->sample_pct > 100)
		return refuse(why, size, "a sample of %u %%: should be 0 to 100",
			      tuning->sample_pct);
	if (!tuning->cold_age_s || tuning->cold_age_s > 86400)
		return refuse(why, size, "a cold age of %u s: should be 1 to 86400",
			      tuning->cold_age_s);
	if (!tuning->promotion_rate_target || tuning->promotion_rate_target > 100000)
		return refuse(why, size, "a promotion rate of 0.%03u %%: should be 0.001 to 100",
			      tuning->promotion_rate_target);
	for (u32 i = 0; i < HOST_STATES; i++)
		if (!tuning->state_pct[i] ||
		    (i && tuning->state_pct[i] >= tuning->state_pct[i - 1]))
			return refuse(
				why, size,
				"the level of state %s must be above 0 and below the one before",
				host_state_name(i));
	return 0;
}

int guest_tuning_check(const struct guest_tuning *tuning, u64 memory, char *why, u32 size)
{
	u64 max = tuning->max ? tuning->max : memory;
	u64 limit = tuning->limit ? tuning->limit : UINT64_MAX;

	if (max > memory)
		return refuse(why, size, "max is %lu MiB, more than its memory of %lu MiB",
			      max / MiB, memory / MiB);
	if (tuning->min > max)
		return refuse(why, size, "min is %lu MiB, more than its max of %lu MiB",
			      tuning->min / MiB, max / MiB);
	if (tuning->min > limit)
		return refuse(why, size, "min is %lu MiB, more than its limit of %lu MiB",
			      tuning->min / MiB, limit / MiB);
	if (limit < 4 * MiB)
		return refuse(why, size, "a limit below 4 MiB lets no guest run");
	if (tuning->shares > SHARES_MAX)
		return refuse(why, size, "%u shares: %u are the most", tuning->shares, SHARES_MAX);
	return 0;
}

/* The low watermark is a 32nd of the budget or 128 MiB, and `hard` begins at 32 per cent of this. */
u64 policy_min_free(const struct policy_tuning *tuning, u64 budget)
{
	u64 min = MAX(1 * MiB, MIN(budget / 64, 64 * MiB));

	return tuning->min_free ? tuning->min_free : min * 25 / 4;
}
