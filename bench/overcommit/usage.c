/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/usage.h"

#include <sys/resource.h>

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

double usage_cpu(int who)
{
	struct rusage usage;

	return getrusage(who, &usage) ? 0 : seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
