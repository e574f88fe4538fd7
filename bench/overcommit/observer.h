/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches a cell's guests from outside, whoever runs them: when all were filled, when all work was
 * done, how much memory the host gave meanwhile; and makes figures of it.
 */
#ifndef BENCH_OVERCOMMIT_OBSERVER_H
#define BENCH_OVERCOMMIT_OBSERVER_H

#include "attach/attach.h"
#include "bench/overcommit/cell.h"
#include "lib/hist.h"

#define OBSERVER_GUESTS	 64
#define OBSERVER_SAMPLES 8192
#define OBSERVER_MS	 50

/* A guest as it is now. */
struct observed {
	u64 target; /* operations; 0: it works until the others are done */
	u64 ops, verified, failures, worked_ns;
	bool filled, ended, well; /* its memory; it; and with what it should have read */
	char why[ATTACH_TEXT_MAX];
	struct hist latency;
};

struct observer {
	u64 began_ns, filled_ns; /* 0: not all yet */
	double kernel_cpu, pressure;
	u32 count;
	struct observed guests[OBSERVER_GUESTS];
	u32 samples;
	u32 filled_sample; /* the first after all were filled */
	double times[OBSERVER_SAMPLES], memory[OBSERVER_SAMPLES];
};

/* Sets the guests' targets from the cell's scenario; takes the time. */
void observer_begin(struct observer *observer, const struct cell *cell, const struct scale *scale);

/* What a guest says; phases as in struct attach_stats. */
void observer_take_phase(struct observed *guest, const char *phase);

/* The guests are up to date; `bytes` of host memory are in use. */
void observer_sample(struct observer *observer, u64 bytes);

/* All work is done. */
bool observer_done(const struct observer *observer);

/* Too late, or interrupted, or a guest ended before it was done. */
bool observer_hopeless(const struct observer *observer, const struct cell_options *options);

/* Figures of the guests and of memory; outcome and note from how the guests ended. */
void observer_conclude(struct observer *observer, struct cell *cell);

#endif
