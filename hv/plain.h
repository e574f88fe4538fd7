/* SPDX-License-Identifier: Apache-2.0 */
/* A guest on plain memory, without a manager: what benchmarks compare with. */
#ifndef HV_PLAIN_H
#define HV_PLAIN_H

#include "attach/attach.h"

enum plain_memory {
	PLAIN_HUGE = 1 << 0,	  /* 2 MiB pages; else none */
	PLAIN_MERGEABLE = 1 << 1, /* the kernel's KSM may share it */
};

/* What the caller wants of a guest while it runs. */
struct plain_orders {
	volatile bool begin; /* what waits for others need not wait any longer */
	volatile bool stop;
};

/*
 * Runs a guest in this process on private anonymous memory (`memory`: enum plain_memory) until it
 * ends or orders->stop asks it to. Every 20 ms its statistics are put into *stats, and the orders are
 * looked at. Uses
 * guest->{ram_bytes, data_bytes, seed, vcpus, accel, name, workload, args}. data_fd counts when
 * data_bytes > 0. Failures and the guest's console go to the log. Returns 0 when the workload ended
 * well, -EILSEQ when it read something wrong, -EIO when it crashed, other -errno when it could not
 * start.
 */
int plain_guest_run(const struct attach_guest *guest, int data_fd, u32 memory,
		    const struct plain_orders *orders, struct attach_stats *stats);

#endif
