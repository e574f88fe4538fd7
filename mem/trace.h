/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on their way to whoever writes them down: a queue of fixed size between the many threads that
 * resolve faults and the one that takes them out. Putting one in takes neither a lock nor a wait; when
 * there is no room it is counted as dropped. (A slot's turn says whose it is: D. Vyukov's bounded queue.)
 */
#ifndef MEM_TRACE_H
#define MEM_TRACE_H

#include <stdatomic.h>

#include "mem/page.h"

#define TRACE_SLOTS 16384U /* a power of two; 640 KiB */

struct trace_fault {
	u64 ended_ns;	       /* of the monotonic clock */
	u64 ns;		       /* how long it took */
	u64 index;	       /* of the page in its guest's RAM file */
	u32 space;	       /* id of the guest's space */
	enum page_state state; /* in which the page was found */
};

struct trace_slot {
	_Atomic u64 turn;
	struct trace_fault fault;
};

struct trace {
	_Atomic u64 put, dropped;
	u64 taken; /* of the one thread that takes */
	struct trace_slot slots[TRACE_SLOTS];
};

/* Empty; the caller frees it. NULL: no memory. */
struct trace *trace_create(void);

/* From any thread; never waits. */
void trace_put(struct trace *trace, const struct trace_fault *fault);

/* False when there is none. One thread at a time. */
bool trace_take(struct trace *trace, struct trace_fault *fault);

#endif
