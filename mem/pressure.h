/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure: which share of time threads wait for memory. The figures and their names are those of the
 * kernel's pressure stall information (Documentation/accounting/psi.rst):
 *
 *	some   at least one of the threads waits
 *	full   all of them do: no work is done at all
 *
 * A thread waits from when its fault is read until it is resolved. What happens before (the fault's way
 * to us) and after (waking up) is not in it, nor is a wait for a page that another thread is just
 * bringing back or evicting.
 */
#ifndef MEM_PRESSURE_H
#define MEM_PRESSURE_H

#include <pthread.h>

#include "lib/types.h"

struct pressure {
	pthread_mutex_t lock; /* innermost; guards all below */
	u32 threads;	      /* that could wait; 0: `full` stays 0 */
	s64 waiting;
	u64 since_ns; /* the sums below are as of then */
	u64 some_ns, full_ns;
	u64 waited_ns; /* of all threads, summed */
};

#define PRESSURE_WINDOWS 3

/* The averages over 10, 60 and 300 seconds, in percent. Of the one thread that samples. */
struct pressure_average {
	u64 sampled_ns;
	u64 some_ns, full_ns; /* totals, at the sample */
	double some[PRESSURE_WINDOWS], full[PRESSURE_WINDOWS];
};

void pressure_init(struct pressure *pressure, u32 threads);
void pressure_destroy(struct pressure *pressure);

/* So many more threads wait from now on (fewer, when negative), or could. Any thread. */
void pressure_wait(struct pressure *pressure, s32 more, u64 now_ns);
void pressure_add_threads(struct pressure *pressure, s32 more, u64 now_ns);

/* What threads have waited till now, summed, waits that are not over with it. Any thread. */
u64 pressure_waited_ns(struct pressure *pressure, u64 now_ns);

/* Brings the averages up to now: exponentially decaying, for samples at any distance. The totals are
 * exact. */
void pressure_sample(struct pressure *pressure, struct pressure_average *average, u64 now_ns);

#endif
