/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel as a peer: swap on a compressed RAM disk (zram, lz4), and a memory cgroup with a limit.
 * The swap device is made by the process that prints, and unmade by it, so that it goes away whatever
 * becomes of a round. A device that somebody uses already is left alone, and nothing is compared.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench/bench.h"

struct peer {
	bool on;
	char algorithm[32]; /* as it was */
};

#define PEER_NONE ((struct peer){.on = false})

/* Returns 0, or -errno and why. */
int peer_open(struct peer *peer, const char **why);
/* Removes the memory cgroups of rounds that were killed in theirs. */
void peer_sweep(void);
/* Swaps off and puts the device back as it was. */
void peer_close(struct peer *peer);

struct peer_usage {
	u64 stored_bytes;     /* plain */
	u64 compressed_bytes; /* blobs */
	u64 used_bytes;	      /* memory they take */
};

int peer_usage(struct peer_usage *usage);

/* Puts the calling process into a memory cgroup of `bytes`, from which the kernel may swap.
 * Returns 0 or -errno. */
struct cgroup;
int peer_limit(u64 bytes, struct cgroup **cgroup);
void peer_unlimit(struct cgroup *cgroup);

#endif
