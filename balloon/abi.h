/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traditional memory balloon as its driver sees it (Virtio 1.2, section 5.5). Freestanding: shared
 * by the device and the nano guest's driver.
 */
#ifndef BALLOON_ABI_H
#define BALLOON_ABI_H

#include "lib/types.h"

#define BALLOON_DEVICE_ID 5U

/* Section 5.5.3: feature bits. */
enum balloon_feature {
	BALLOON_F_MUST_TELL_HOST,
	BALLOON_F_STATS_VQ,
	BALLOON_F_DEFLATE_ON_OOM,
	BALLOON_F_FREE_PAGE_HINT,
	BALLOON_F_PAGE_POISON,
	BALLOON_F_REPORTING,
	BALLOON_FEATURES
};

/* Section 5.5.2. Some drivers count only the queues whose feature they negotiated. */
enum balloon_queue {
	BALLOON_INFLATE_QUEUE,
	BALLOON_DEFLATE_QUEUE,
	BALLOON_STATS_QUEUE,
	BALLOON_HINT_QUEUE,
	BALLOON_REPORT_QUEUE,
	BALLOON_QUEUES
};

/* Section 5.5.4, little-endian. */
struct balloon_config {
	u32 num_pages;	  /* by the device: how many it wants */
	u32 actual;	  /* by the driver: how many it has */
	u32 hint_command; /* by the device: BALLOON_HINT_*, or the number of a round */
	u32 poison;	  /* by the driver: what it writes into free pages */
};

#define BALLOON_HINT_STOP  0U
#define BALLOON_HINT_DONE  1U
#define BALLOON_HINT_FIRST 2U /* the least number of a round */

/* Section 5.5.6.3, and as Linux has them since (uapi/linux/virtio_balloon.h). */
enum balloon_stat {
	BALLOON_STAT_SWAP_IN,
	BALLOON_STAT_SWAP_OUT,
	BALLOON_STAT_MAJOR_FAULTS,
	BALLOON_STAT_MINOR_FAULTS,
	BALLOON_STAT_FREE,
	BALLOON_STAT_TOTAL,
	BALLOON_STAT_AVAILABLE,
	BALLOON_STAT_CACHES,
	BALLOON_STAT_HUGETLB_ALLOCATED,
	BALLOON_STAT_HUGETLB_FAILED,
	BALLOON_STAT_OOM_KILLS,
	BALLOON_STAT_ALLOC_STALLS,
	BALLOON_STAT_ASYNC_SCANNED,
	BALLOON_STAT_DIRECT_SCANNED,
	BALLOON_STAT_ASYNC_RECLAIMED,
	BALLOON_STAT_DIRECT_RECLAIMED,
	BALLOON_STATS
};

/* Packed as on the wire: ten bytes. */
struct balloon_stat_entry {
	u16 tag;
	u64 value;
} __attribute__((packed));

#define BALLOON_PAGE_SHIFT 12 /* of frame numbers and counts, whatever a guest's pages are */

_Static_assert(sizeof(struct balloon_config) == 16, "ABI");
_Static_assert(sizeof(struct balloon_stat_entry) == 10, "ABI");

#endif
