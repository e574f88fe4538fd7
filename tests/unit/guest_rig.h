/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of threads on plain memory, for tests: vCPUs run the real workloads, and a hook sees each
 * vCPU as it enters a phase, on that vCPU's own thread, when damage can be done in peace.
 */
#ifndef TESTS_UNIT_GUEST_RIG_H
#define TESTS_UNIT_GUEST_RIG_H

#include <pthread.h>

#include "guest-driver/host.h"

#define RIG_CONSOLE 8192

struct guest_rig;
typedef void (*rig_hook)(struct guest_rig *rig, u32 vcpu, enum guest_phase phase);

struct guest_rig {
	struct guest_host host;
	struct guest_boot *boot;
	u8 *before; /* a copy of the heap, taken by rig_snapshot */
	rig_hook hook;
	pthread_mutex_t lock; /* the text */
	char text[RIG_CONSOLE];
	size_t length;
	enum guest_exit exits[GUEST_MAX_VCPUS];
};

/* RAM of that size, zeroed, and a boot page for this workload; data may be NULL. */
void rig_start(struct guest_rig *rig, u64 ram_bytes, u32 vcpus, const char *workload,
	       const char *args, const u8 *data, u64 data_bytes);

/* Runs all vCPUs to their ends; the worst exit. */
enum guest_exit rig_run(struct guest_rig *rig);

/* The same, and asks them to stop that many milliseconds after the last has filled its memory. */
enum guest_exit rig_run_for(struct guest_rig *rig, u32 milliseconds);

void rig_end(struct guest_rig *rig);

struct guest_vcpu_stats *rig_stats(struct guest_rig *rig, u32 vcpu);

void rig_snapshot(struct guest_rig *rig);

/* The address of a page of the heap that is no longer as in the snapshot, from `from` on; 0: none. */
u64 rig_changed_page(struct guest_rig *rig, u64 from);

#endif
