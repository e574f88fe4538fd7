/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/misses.h"

#define WINDOW_MS 2000U
/* Fewer than a hundred a second, on the whole host, cost nobody much. */
#define MATTER_PER_KS (100 * 1000U)
#define PART	      8U
/* Whoever is new, or lies, may have missed anything. */
#define MISSED_MAX (1UL << 32)

void misses_look(struct misses *misses, u64 missed, u64 now_ms)
{
	u64 elapsed = now_ms - misses->at_ms, came = missed - misses->missed;

	if (misses->at_ms && !elapsed)
		return;
	if (misses->at_ms && missed >= misses->missed) {
		u64 window = MAX(elapsed, (u64)WINDOW_MS);
		u64 per_ks = MIN(came, MISSED_MAX) * 1000 * 1000 / elapsed;

		misses->per_ks = (misses->per_ks * (window - elapsed) + per_ks * elapsed) / window;
	}
	misses->missed = missed;
	misses->at_ms = now_ms;
}

u32 misses_calm(const struct misses *misses, u64 all_per_ks, u32 count)
{
	u64 calm = all_per_ks / MAX(count, 1U) / PART / MAX(misses->per_ks, 1UL);

	if (all_per_ks < MATTER_PER_KS)
		return 1;
	return (u32)MAX(MIN(calm, (u64)MISSES_CALM_MAX), 1UL);
}
