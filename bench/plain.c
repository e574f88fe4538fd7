/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/plain.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/peer.h"
#include "lib/clock.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

int plain_map(struct bench *bench, const struct content *content, u64 bytes, bool huge,
	      struct ram *ram)
{
	int err = ram_map_plain(ram, bytes, huge);

	if (err)
		return bench_fail(bench, err, "no plain memory: %s", strerror(-err));
	if (mlock(ram->base, REGION_SIZE)) {
		ram_unmap(ram);
		return bench_fail(bench, -errno, "memory cannot be locked: %s", strerror(errno));
	}
	content_fill(content, ram->base, REGION_PAGES, bytes / PAGE_SIZE);
	return 0;
}

int plain_evict(struct bench *bench, const struct ram *ram)
{
	struct peer_usage usage;

	if (madvise(ram->base + REGION_SIZE, ram->bytes - REGION_SIZE, MADV_PAGEOUT))
		return bench_fail(bench, -errno, "MADV_PAGEOUT: %s", strerror(errno));
	if (peer_usage(&usage) || usage.stored_bytes < ram->bytes / 2)
		return bench_fail(bench, -EIO, "the kernel did not swap what it was told to");
	return 0;
}

double plain_cpu_us(void)
{
	return (double)clock_read_ns(CLOCK_THREAD_CPUTIME_ID) / 1e3;
}
