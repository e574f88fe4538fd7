/* SPDX-License-Identifier: Apache-2.0 */
/* Time, for measuring and for deadlines, in nanoseconds. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <time.h>

#include "lib/types.h"

#define NSEC_PER_USEC 1000UL
#define NSEC_PER_MSEC 1000000UL
#define NSEC_PER_SEC  1000000000UL

/* Of a clock that is always there: CLOCK_PROCESS_CPUTIME_ID and CLOCK_THREAD_CPUTIME_ID tell the caller's CPU time. */
static inline u64 clock_read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (u64)now.tv_sec * NSEC_PER_SEC + (u64)now.tv_nsec;
}

/* The monotonic clock. */
static inline u64 clock_now_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

#endif
