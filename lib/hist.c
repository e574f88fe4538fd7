/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/hist.h"

u64 hist_bucket_floor(u32 bucket)
{
	u32 octave;

	if (bucket < HIST_SUB)
		return bucket;
	octave = bucket / HIST_SUB - 1;
	return (u64)(HIST_SUB + bucket % HIST_SUB) << octave;
}

u64 hist_percentile(const struct hist *hist, u32 permille)
{
	u64 rank, seen = 0;

	if (!hist->count)
		return 0;
	rank = (hist->count * permille + 999) / 1000;
	for (u32 i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += hist->buckets[i];
		if (seen >= rank && seen)
			return MIN(hist_bucket_floor(i + 1) - 1, hist->max);
	}
	return hist->max;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	for (u32 i = 0; i < HIST_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
	to->count += from->count;
	to->sum += from->sum;
	to->max = MAX(to->max, from->max);
}
