/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel as it is set up against us: swap on zram with lz4, a swap file on the same disk behind
 * it, and KSM at the pace of our scanner. All of it belongs to the whole host, so all of it is in the
 * journal before it is touched.
 */
#ifndef BENCH_OVERCOMMIT_RIVAL_H
#define BENCH_OVERCOMMIT_RIVAL_H

#include "bench/overcommit/journal.h"

struct rival_options {
	u64 zram_bytes; /* plain bytes that zram takes before the swap file is used */
	const char *swap_file;
	u64 swap_bytes;
	u32 pages_to_scan, sleep_millisecs; /* of KSM */
};

/* What it holds and has done; totals are since the machine started. */
struct rival_usage {
	u64 zram_used, zram_stored, zram_same_pages; /* memory; plain bytes; pages of one word */
	u64 zram_read, zram_written;		     /* totals, bytes */
	u64 swap_read, swap_written;		     /* totals, bytes, of all swap devices */
	u64 file_bytes;				     /* of the swap file in use */
	u64 sharing_pages;			     /* that KSM saves */
};

/* Returns 0, or -errno and why; what was done until then is in the journal. */
int rival_setup(struct journal *journal, const struct rival_options *options, const char **why);

void rival_read(const char *swap_file, struct rival_usage *usage);

/* Whether the host has what it takes and nobody uses it. Returns 0, or -errno and why. */
int rival_check(const char **why);

#endif
