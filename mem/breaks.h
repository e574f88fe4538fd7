/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insurance against writes to shared pages. Memory that sharing saved is owed: a guest that writes to its pages
 * takes it back, at once and unasked. So part of the budget is kept for that, sized from how fast it happens:
 *
 *	rate     breaks a second, in windows of a tenth: up at once, down by half in some four seconds
 *	reserve  what breaks at that rate take in a second, until reclaim and coming home have made up for them;
 *	         never more than can be broken, nor than a sixteenth of the budget
 *	surge    a guest that breaks faster than its part of the rate, while the reserve is half used up: it waits
 *
 * So other takers leave the reserve alone (budget.h), and a storm costs those guests time that make it.
 */
#ifndef MEM_BREAKS_H
#define MEM_BREAKS_H

#include <stdatomic.h>

#include "lib/types.h"

struct memory;
struct space;

/* How fast a count grows. */
struct break_rate {
	_Atomic u64 began_ns; /* of the window */
	_Atomic u64 seen;     /* the count then */
	_Atomic u64 per_second;
};

/* A window that is over is added to the rate, all breaks' or one guest's; the first sizes the reserve. For nothing
 * else than calls now and then. Lock-free, any thread. */
void breaks_measure(struct memory *memory, u64 now_ns);
void breaks_measure_guest(struct space *space, u64 now_ns);

/* Whether a guest has to wait before it breaks more: see above. */
bool breaks_surge(const struct space *space);

/* For the tests that show what they are for: no reserve; nobody waits. */
extern bool breaks_test_no_reserve;
extern bool breaks_test_no_waits;

#endif
