/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/outlook.h"

/* Whoever restarts may seem to grow by anything. */
#define GROWTH_MAX (1UL << 40)

void outlook_look(struct outlook *outlook, u64 resident, u64 now_ms)
{
	u64 grown =
		resident > outlook->resident ? MIN(resident - outlook->resident, GROWTH_MAX) : 0;
	u64 elapsed_ms = now_ms - outlook->at_ms;

	if (!elapsed_ms)
		return;
	if (outlook->at_ms) {
		outlook->step_ms = elapsed_ms;
		outlook->per_s = (outlook->per_s + grown * 1000 / elapsed_ms) / 2;
	}
	outlook->at_ms = now_ms;
	outlook->resident = resident;
}

u64 outlook_growth(const struct outlook *outlook, u64 steps)
{
	u64 lead_ms = MIN(steps, OUTLOOK_LEAD_MAX_MS) * MIN(outlook->step_ms, OUTLOOK_LEAD_MAX_MS);

	return outlook->per_s * MIN(lead_ms, OUTLOOK_LEAD_MAX_MS) / 1000;
}
