/* SPDX-License-Identifier: Apache-2.0 */
/* A guest on plain memory, without a manager: what benchmarks compare with. */
#ifndef HV_PLAIN_H
#define HV_PLAIN_H

#include "attach/attach.h"

/*
 * Runs a guest in this process on private anonymous memory, with 2 MiB pages or without, until it
 * ends or *stop asks it to (looked at every 20 ms); then its statistics are in *stats. Uses
 * guest->{ram_bytes, data_bytes, seed, vcpus, accel, name, workload, args}. data_fd counts when
 * data_bytes > 0. Failures and the guest's console go to the log. Returns 0 when the workload ended
 * well, -EILSEQ when it read something wrong, -EIO when it crashed, other -errno when it could not
 * start.
 */
int plain_guest_run(const struct attach_guest *guest, int data_fd, bool huge,
		    const volatile bool *stop, struct attach_stats *stats);

#endif
