// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's driver of the virtio balloon (Virtio 1.2, section 5.5). It runs on vCPU 0, between two
 * operations of the workload: nothing interrupts this guest, so the VMM counts its interrupts in the boot
 * page, and guest_poll() looks there.
 *
 * Asked for memory it gives free pages first, whole blocks before single pages, then asks the page caches
 * of all vCPUs for what they used least recently; never the last reserve of either. What it cannot give it
 * does not: `actual` says how far it got. One transfer of many pages is under way at a time.
 */
#ifndef GUEST_DRIVER_BALLOON_H
#define GUEST_DRIVER_BALLOON_H

#include "balloon/abi.h"
#include "guest-driver/exchange.h"
#include "guest-driver/frames.h"
#include "guest-driver/vq.h"

#define BALLOON_TRANSFER 16384U /* pages in one buffer: 64 MiB */
#define BALLOON_REPORTS	 16U	/* blocks in flight */

/* In guest memory, at GUEST_SHARED. */
struct balloon_shared {
	u8 rings[BALLOON_QUEUES][VQ_BYTES];
	u32 pages[BALLOON_TRANSFER];  /* of the transfer under way, as the guest numbers them */
	u32 frames[BALLOON_TRANSFER]; /* the same, guest-physical */
	u32 reports[BALLOON_REPORTS];
	u32 hint_command[2];
	struct balloon_stat_entry stats[BALLOON_STATS];
	struct exchange exchange[GUEST_MAX_VCPUS];
};

_Static_assert(sizeof(struct balloon_shared) <= GUEST_SHARED_BYTES, "fits its place");

enum balloon_transfer {
	TRANSFER_NONE,
	TRANSFER_INFLATE,
	TRANSFER_DEFLATE,
	TRANSFER_RETURN, /* deflated, on the way back to the caches */
};

struct balloon_driver {
	bool present;
	struct balloon_shared *shared;
	struct vq queues[BALLOON_QUEUES];
	struct frames frames;

	u32 target, actual; /* pages */
	u32 frames_limit;   /* after an OOM, until the next target: at most so many of `frames` */
	enum balloon_transfer transfer;
	bool of_caches; /* whose pages are under way */
	u32 count;	/* ... and how many */
	u32 returned;	/* ... of which have been given back */

	u32 reports;		      /* blocks in flight */
	u64 report_due, report_delay; /* ns */
	u32 reported, reused;	      /* pages, since the delay was last judged */

	u32 hint_command; /* as the device set it */
	bool hint_wanted; /* ... and we have not answered */

	u32 alloc_stalls;
	u64 due; /* ns: when something is to be done without an interrupt */
};

/* On vCPU 0, once its memory is laid out: finds the device and negotiates. A guest without one goes on
 * without. */
void balloon_start(struct guest_cpu *cpu);

/* Does what there is to do now, without waiting. interrupted: the boot page's count has changed. */
void balloon_poll(struct guest_cpu *cpu, u64 now, bool interrupted);

/* The guest is out of free memory: takes some back unasked. It is there a little later, or never when the
 * balloon has none. */
void balloon_out_of_memory(struct guest_cpu *cpu);

/* Whether something is under way that the next poll will go on with. */
bool balloon_busy(const struct guest_cpu *cpu);

/* Where the host sees a guest address, or what is pointed to. */
u64 balloon_physical(const struct guest_cpu *cpu, u64 address);
u64 balloon_physical_of(const struct guest_cpu *cpu, const void *pointer);

/* A page that was reported as free is used again. */
void balloon_note_reuse(struct balloon_driver *balloon, u32 pages);

#endif
