// SPDX-License-Identifier: Apache-2.0
/*
 * The only costly part of the method is zeta, a sum over all items. We add up the head, where terms
 * change fast, and replace the tail by its integral and the first two corrections of the
 * Euler-Maclaurin formula; what is neglected is below 1e-11 after a head of 256.
 */
#include "guest-driver/fmath.h"
#include "guest-driver/random.h"
#include "guest-driver/zipf.h"

#define ZETA_HEAD 256

static double zeta_sum(u64 items, double theta)
{
	u64 head = MIN(items, ZETA_HEAD);
	double first = (double)head, last = (double)items, sum = 0;

	for (u64 k = 1; k <= head; k++)
		sum += fmath_pow((double)k, -theta);
	if (items == head)
		return sum;
	sum += (fmath_pow(last, 1 - theta) - fmath_pow(first, 1 - theta)) / (1 - theta);
	sum += (fmath_pow(last, -theta) - fmath_pow(first, -theta)) / 2;
	sum -= (fmath_pow(last, -theta - 1) - fmath_pow(first, -theta - 1)) * theta / 12;
	return sum;
}

void zipf_init(struct zipf *zipf, u64 items, u32 theta_permille)
{
	double theta = MIN(theta_permille, 999U) / 1000.0;

	zipf->items = items;
	zipf->zeta = zeta_sum(items, theta);
	zipf->second = 1 + fmath_pow(0.5, theta);
	zipf->alpha = 1 / (1 - theta);
	zipf->eta = 0;
	if (items > 2)
		zipf->eta = (1 - fmath_pow(2.0 / (double)items, 1 - theta)) /
			    (1 - zipf->second / zipf->zeta);
}

u64 zipf_rank(const struct zipf *zipf, u64 random)
{
	double u = (double)(random >> 11) * 0x1p-53;
	double scaled = u * zipf->zeta;
	u64 rank;

	if (scaled < 1)
		return 0;
	if (scaled < zipf->second)
		return MIN(1, zipf->items - 1);
	rank = (u64)((double)zipf->items * fmath_pow(zipf->eta * u - zipf->eta + 1, zipf->alpha));
	return MIN(rank, zipf->items - 1);
}

u64 zipf_item(const struct zipf *zipf, u64 random)
{
	return random_scale(random_mix(zipf_rank(zipf, random) + RANDOM_GAMMA), zipf->items);
}
