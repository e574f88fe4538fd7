/* SPDX-License-Identifier: Apache-2.0 */
/* A whole host, manager and guests' processes, run to its end. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include "bench/bench.h"
#include "manager/config.h"
#include "manager/manager.h"

struct host_result {
	struct host_snapshot host;
	u32 ok; /* guests that ended well and found no error */
	u32 guests;
	u64 ops;	     /* of all guests */
	struct hist latency; /* operations of all guests */
	struct hist faults;  /* of all guests, any source */
};

/* Looks at a host while it runs, ten times a second. */
struct host_observer {
	void (*look)(struct host_observer *observer, struct manager *manager);
};

/* Returns 0 when the host ran, however its guests ended, or -errno with the bench's note set. */
int host_run(struct bench *bench, const struct host_config *config, struct host_result *result);

/* The same, watched. `observer` may be NULL. */
int host_run_observed(struct bench *bench, const struct host_config *config,
		      struct host_observer *observer, struct host_result *result);

#endif
