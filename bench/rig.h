/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory under management, all in this process: RAM file, userfaultfd, space, fault handler,
 * pool, swap file and (if wanted) background reclaim, wired as the manager wires them. What touches
 * the memory is the benchmark's: a thread, or a vCPU (vm.h).
 */
#ifndef BENCH_RIG_H
#define BENCH_RIG_H

#include "bench/bench.h"
#include "hv/ram.h"
#include "mem/memory.h"
#include "mem/space.h"

struct handler;
struct ksm;
struct swap;
struct clock;
struct reclaim;

struct rig_options {
	u64 bytes;	  /* of the guest */
	u64 budget;	  /* 0: four times that, no pressure */
	u32 poll_us;	  /* of the fault handler */
	const char *disk; /* path of a swap file; NULL: none */
	u64 disk_bytes;	  /* its size; 0: 1 GiB */
	bool straight;	  /* evicted pages go to the disk at once, past the pool */
	bool huge_pages;
	bool shares;  /* pages are shared by content: rig.ksm scans, when it is told to */
	bool reclaim; /* background reclaim, as a manager has it */
	u64 pool;     /* bytes of the pool; 0: as many as the guest has */
	bool share; /* share_before_swap, as a manager has it: content that repeats is no content */
};

struct rig {
	struct memory memory;
	struct swap *swap;
	struct ksm *ksm; /* NULL: nothing is shared */
	struct space_client client;
	struct space *space;
	struct handler *handler;
	struct clock *clock;
	struct reclaim *reclaim;
	struct ram ram;
	u64 pages;
	int uffd;
};

/* Fault handlers: asleep between faults, polling, or asleep on the CPU of whoever touches. */
enum rig_mode { RIG_ASLEEP, RIG_POLLING, RIG_SAME_CPU, RIG_MODES };
extern const char *const rig_mode_names[RIG_MODES];

/* Sets the options, and the calling process' affinity, for a mode. */
void rig_set_mode(struct rig_options *options, enum rig_mode mode);

/* Returns 0 or -errno with the bench's note set; then the process should end. */
int rig_start(struct bench *bench, const struct rig_options *options, struct rig *rig);
void rig_stop(struct rig *rig);

/* Evicts what is resident of regions [first, end), groups in the mask. Returns pages. */
u64 rig_evict(struct rig *rig, u64 first, u64 end, u32 groups);

#endif
