/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VMM process gives up, in two steps. Before it meets the manager: new privileges, every
 * descriptor but its own, the terminal's input, core files with a guest's secrets. When all is set up
 * and before its guest runs: every capability, more than a little memory of its own, and the system
 * calls it has no more use for (hv/syscall_filter.h).
 *
 * What remains: the process keeps its user and its namespaces. Nothing it can still call takes a path,
 * an address or a process, but the fence is the filter, and a hole in the kernel behind KVM_RUN is not
 * ours to close. A guest of the thread accelerator is code of ours in the VMM's own address space:
 * the same filter holds it.
 */
#ifndef HV_SANDBOX_H
#define HV_SANDBOX_H

#include "lib/types.h"

/* Step one. Keeps standard error, and `keep` as a descriptor. Returns 0 or -errno. */
int sandbox_enter(int keep);

/* What a guest whose pages are shared keeps: two files to map (-1: none), the address where a region is composed before
 * it is moved into the guest, and private memory for copies of shared pages, as much as it has RAM, and that region. */
struct sandbox_share {
	int ram, frames;
	const void *stage;
	u64 bytes;
};

/* Step two, for all threads, those to come included. Returns 0, or -errno; then the process must not
 * run its guest. */
int sandbox_seal(const struct sandbox_share *share);

#endif
