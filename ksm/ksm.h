/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing memory by content: one copy of what guests have in common. docs/sharing.md tells how, and why no
 * write is lost.
 *
 *	scan    a cursor over all guests' resident memory: hash, compare with what is known
 *	share   frozen, compared byte by byte, dropped; found again as a page source (PAGE_SHARED)
 *	map     the frame in the guest's place, in runs, within a number of mappings (mem/remap.h)
 *	home    what guests have written since comes back to their RAM files, in batches
 *
 * The names of the options and of the statistics are the kernel's (Documentation/admin-guide/mm/ksm.rst).
 *
 * Lock order: scan lock; a space's remap turn; a region's; a domain's frames.
 */
#ifndef KSM_KSM_H
#define KSM_KSM_H

#include "lib/types.h"

struct ksm;
struct memory;
struct page_source;
struct space;

enum ksm_run { KSM_STOP, KSM_RUN, KSM_UNMERGE };
enum ksm_advisor { KSM_ADVISOR_NONE, KSM_ADVISOR_SCAN_TIME };

struct ksm_options {
	struct memory *memory;
	u32 run;		      /* enum ksm_run */
	u32 pages_to_scan;	      /* between two pauses */
	u32 sleep_millisecs;	      /* a pause */
	bool smart_scan; /* look less often at what keeps changing, and while nothing is found */
	bool use_zero_pages;	      /* drop pages that repeat one word */
	u32 max_page_sharing;	      /* references to a frame */
	u32 advisor_mode;	      /* enum ksm_advisor */
	u32 advisor_max_cpu;	      /* percent */
	u32 advisor_target_scan_time; /* seconds */
	u32 vma_budget;		      /* mappings that sharing may add to a guest's VMM */
	bool bind;		      /* frames shall come from their domain's node */
};

struct ksm_stats {
	u64 pages_shared;	      /* frames, in memory or stored */
	u64 frames_stored;	      /* ... of them stored, because they were cold */
	u64 frames_left, frames_came; /* total: frames that left memory, and came back */
	u64 pages_sharing;  /* pages that take no memory because a frame holds them already */
	u64 pages_unshared; /* looked at in the last full scan, and like no other */
	u64 pages_volatile; /* ... and changed since the scan before */
	u64 pages_scanned;  /* total */
	u64 pages_skipped; /* total: not written since they were looked at last, or backed off from */
	u64 full_scans;	   /* total */
	u64 zero_pages;	   /* total: dropped because they repeat one word */
	u64 cow_breaks;	   /* total: writes to shared pages */
	u64 break_waits;   /* total: times a guest was held up, because it wrote too many */
	u64 break_wait_us; /* ... and for how long */
	u64 break_rate;	   /* writes to shared pages a second, lately */
	u64 break_reserve; /* bytes of the budget kept for them */
	u64 hash_collisions;
	u64 sheets; /* total: regions that were mapped in one piece, with what they do not share between */
	u64 pages_own; /* pages that lie so: in the VMM's own memory, where nothing evicts them until they are home */
	u64 brought_home; /* total: pages written, or that lay so, and brought back to the RAM file */
	u64 peak_saved_pages; /* the most that pages_sharing was when it was asked for, or at the end of a scan */
	u64 vmas;	    /* mappings that sharing has added */
	s64 general_profit; /* bytes saved, less what frames, indexes and mappings take */
	u64 metadata_bytes;
	u64 cpu_ns;		    /* of the scanner */
	struct ksm_options options; /* in force; pages_to_scan as the advisor has it */
};

/* Returns 0, or -errno with the reason logged. Sets memory's source of SHARED pages. */
int ksm_create(const struct ksm_options *options, struct ksm **ksm);

/* All spaces must have ended. */
void ksm_destroy(struct ksm *ksm);

/* Starts the thread that scans; before, ksm_scan() may be called instead. */
int ksm_start(struct ksm *ksm);
void ksm_stop(struct ksm *ksm);

/*
 * Makes a guest's sharing domain, if it is the first in it. `pages`: the memory of all its guests to come.
 * Returns the store's file, for reading, which stays ksm's, and its size; or -errno.
 */
int ksm_join(struct ksm *ksm, u32 salt, u32 node, u64 pages, u64 *bytes);

/* Looks at up to `pages` pages from where the last call ended, and shares what it can. Returns true when
 * that ended a full scan. By one thread at a time. */
bool ksm_scan(struct ksm *ksm, u64 pages);

/* Brings home what guests wrote. Same terms. Returns how many pages. */
u64 ksm_bring_home(struct ksm *ksm);

/* Gives every shared page its own memory again, as far as there is any. Returns how many. */
u64 ksm_unmerge(struct ksm *ksm);

/* Forgets what was seen of a space whose salt has changed: when it returns, nothing is being shared by the old one. No
 * lock held. */
void ksm_forget(struct ksm *ksm, struct space *space);

/* Other options from now on, but for memory and bind; the scanner follows within some milliseconds. A guest that began
 * while run was KSM_STOP shares nothing, whatever comes later. Any thread, no lock held. */
void ksm_set_options(struct ksm *ksm, const struct ksm_options *options);
void ksm_get_options(struct ksm *ksm, struct ksm_options *options);

/* Whether a guest that begins now should share. */
bool ksm_active(struct ksm *ksm);

/* What the space's shared pages save: what they would take, less their part of the frames. Bytes. */
u64 ksm_saved_bytes(struct ksm *ksm, const struct space *space);

void ksm_stats(struct ksm *ksm, struct ksm_stats *stats);

/* Frames in memory of the domains of one NUMA node. Bytes. */
u64 ksm_node_bytes(struct ksm *ksm, u32 node);

/* Tests: how many bits of each hash count, 64 as a rule. Fewer make collisions. */
extern u32 ksm_test_hash_bits;

#endif
