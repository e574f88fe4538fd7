/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/order.h"

#include <stdlib.h>
#include <x86intrin.h>

#include "hv/tsc.h"
#include "lib/clock.h"

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

void order_make(struct order *order, u32 first, u32 end, u32 run, u32 count, u64 seed)
{
	u32 runs, *starts;

	order->run = run ? run : (u32)REGION_PAGES;
	order->count = 0;
	runs = (end - first) / order->run;
	starts = malloc(runs * sizeof(*starts));
	for (u32 i = 0; i < runs; i++)
		starts[i] = first + i * order->run;
	for (u32 i = runs; run && i > 1; i--) {
		u32 j = (u32)(next_random(&seed) % i), other = starts[i - 1];

		starts[i - 1] = starts[j];
		starts[j] = other;
	}
	count = MIN(count, ORDER_MAX);
	for (u32 i = 0; i < runs && order->count + order->run <= count; i++)
		for (u32 j = 0; j < order->run; j++)
			order->pages[order->count++] = starts[i] + j;
	free(starts);
}

void order_sparse(struct order *order, u32 first, u32 end, u32 stride, u32 count, u64 seed)
{
	order_make(order, first, end, stride, ORDER_MAX, seed);
	order->count = MIN(order->count / stride, count);
	for (u32 i = 0; i < order->count; i++)
		order->pages[i] = order->pages[i * stride];
	order->run = 1;
}

void order_random(struct order *order, u32 first, u32 end, u32 count, u64 seed)
{
	order->run = 1;
	order->count = MIN(count, ORDER_MAX);
	for (u32 i = 0; i < order->count; i++)
		order->pages[i] = first + (u32)(next_random(&seed) % (end - first));
}

void order_touch(struct order *order, const u8 *base)
{
	u64 began = clock_now_ns();
	u32 unused;

	for (u32 i = 0; i < order->count; i++) {
		u64 start = __rdtscp(&unused);

		(void)*(const volatile u8 *)(base + order->pages[i] * PAGE_SIZE);
		order->ticks[i] = (u32)MIN(__rdtscp(&unused) - start, (u64)UINT32_MAX);
	}
	order->wall_ns = clock_now_ns() - began;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

void order_sum_up(const struct order *order, u32 skip, double least_us, struct ticks *ticks)
{
	double *values = calloc(order->count / order->run + 1, sizeof(*values));
	double scale = 1 / ticks_per_us() / order->run, sum = 0;
	u32 count = 0;

	*ticks = (struct ticks){0};
	for (u32 i = ALIGN_DOWN(skip, order->run); i + order->run <= order->count;
	     i += order->run) {
		u64 total = 0;

		for (u32 j = 0; j < order->run; j++)
			total += order->ticks[i + j];
		if ((double)total * scale < least_us)
			continue;
		values[count++] = (double)total * scale;
		sum += (double)total * scale;
	}
	if (count) {
		qsort(values, count, sizeof(*values), compare);
		*ticks = (struct ticks){values[count / 2], values[count - 1 - count / 100],
					sum / count, count};
	}
	free(values);
}

double ticks_per_us(void)
{
	static double khz;

	if (!khz)
		khz = (double)tsc_measure_khz();
	return khz / 1000;
}
