/* SPDX-License-Identifier: Apache-2.0 */
/* A host whose guests share memory: those of mem_rig.h, a scanner that is called by hand, and content that is
 * the same in all guests, or is not. */
#ifndef TESTS_KSM_RIG_H
#define TESTS_KSM_RIG_H

#include "ksm/ksm.h"
#include "tests/unit/mem_rig.h"

#define KSM_RIG_GUESTS 3

#define KSM_RIG_FRAMES (KSM_RIG_GUESTS * 16 * MiB / PAGE_SIZE)

struct ksm_rig_options {
	u64 bytes;	      /* of each guest */
	u64 budget;	      /* 0: plenty */
	bool small;	      /* no huge pages */
	bool alone;	      /* each guest in a domain of its own */
	u32 max_page_sharing; /* 0: no limit */
	u32 vma_budget;	      /* 0: no limit */
	bool thread;	      /* the scanner runs by itself */
	bool swap;	      /* a pool and a swap file, so that frames can leave memory */
};

struct ksm_rig {
	struct memory memory;
	struct ksm *ksm;
	struct swap *swap;
	struct mem_guest guests[KSM_RIG_GUESTS];
};

void ksm_rig_start(struct ksm_rig *rig, const struct ksm_rig_options *options);
void ksm_rig_stop(struct ksm_rig *rig);

/* Fills a guest with pages that depend on `common`, equal in all guests, and their number. */
void ksm_rig_fill(struct mem_guest *guest, u64 common);
/* One page, and whether it is as it was filled. */
void ksm_rig_write(struct mem_guest *guest, u64 index, u64 content);
bool ksm_rig_check(const struct mem_guest *guest, u64 index, u64 content);
u64 ksm_rig_check_all(const struct mem_guest *guest, u64 content);

/* Full scans, as many as it takes to see a page twice and to share it. */
void ksm_rig_scan(struct ksm_rig *rig);

/* Counters, references and the budget against a walk of the descriptors. Nobody may touch the guests. */
void ksm_rig_audit(struct ksm_rig *rig);

/* Takes all frames out of memory that may leave. Returns how many. */
u64 ksm_rig_evict_frames(struct ksm_rig *rig);

/* A thread that writes a page all the time, and has begun when start() returns. stop() says how often a write was
 * lost. */
struct ksm_hammer {
	volatile u64 *page;
	u64 last, stale;
	_Atomic bool begun, stop;
	pthread_t thread;
};
void ksm_hammer_start(struct ksm_hammer *hammer, struct mem_guest *guest, u64 index);
u64 ksm_hammer_stop(struct ksm_hammer *hammer);

struct ksm_stats ksm_rig_stats(struct ksm_rig *rig);

#endif
