/* SPDX-License-Identifier: Apache-2.0 */
/* A file read and written by io_uring with O_DIRECT and nothing else: what the device can do. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "lib/types.h"

struct raw_job {
	bool write;
	bool random; /* else front to back */
	u32 bytes;   /* of each transfer */
	u32 depth;
	u32 count;
	u64 span; /* of the file that is used */
};

struct raw_result {
	double seconds;
};

struct raw;

/* A file of `bytes`, reserved and never written to, unlinked. Returns 0 or -errno. */
int raw_open(const char *path, u64 bytes, struct raw **raw);
void raw_close(struct raw *raw);

int raw_run(struct raw *raw, const struct raw_job *job, struct raw_result *result);

#endif
