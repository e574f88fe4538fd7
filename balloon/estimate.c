/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/estimate.h"

/* A new sample counts three quarters in the fast average, a third in the slow one. */
#define PARTS 12
#define FAST  9
#define SLOW  4

static u32 follow(u32 average, u32 sample, u32 weight)
{
	return (u32)(((u64)average * (PARTS - weight) + (u64)sample * weight) / PARTS);
}

void estimate_add(struct estimate *estimate, u32 touched, u32 looked)
{
	u32 sample;

	if (!looked)
		return;
	sample = (u32)((u64)MIN(touched, looked) * ESTIMATE_ONE / looked);
	if (!estimate->primed)
		*estimate = (struct estimate){sample, sample, true};
	estimate->fast = follow(estimate->fast, sample, FAST);
	estimate->slow = follow(estimate->slow, sample, SLOW);
}

u64 estimate_active(const struct estimate *estimate, u64 bytes)
{
	if (!estimate->primed)
		return bytes;
	return (u64)((unsigned __int128)bytes * MAX(estimate->fast, estimate->slow) / ESTIMATE_ONE);
}
