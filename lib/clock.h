/* SPDX-License-Identifier: Apache-2.0 */
/* Time, for measuring and for deadlines: the monotonic clock, in nanoseconds. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <time.h>

#include "lib/types.h"

#define NSEC_PER_USEC 1000UL
#define NSEC_PER_MSEC 1000000UL
#define NSEC_PER_SEC  1000000000UL

static inline u64 clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * NSEC_PER_SEC + (u64)now.tv_nsec;
}

#endif
