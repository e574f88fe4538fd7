/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's memory as the kernel alone manages it: private and anonymous. */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include "bench/content.h"
#include "hv/ram.h"

/* Maps it, fills all but the first region, which is locked into memory: it holds the touching
 * program. Returns 0, or -errno with the bench's note set. */
int plain_map(struct bench *bench, const struct content *content, u64 bytes, bool huge,
	      struct ram *ram);

/* Has the kernel swap out all but the first region. Returns 0, or -errno with the note set. */
int plain_evict(struct bench *bench, const struct ram *ram);

/* CPU time of the calling thread, us. */
double plain_cpu_us(void);

#endif
