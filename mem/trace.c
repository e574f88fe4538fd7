/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/trace.h"

#include <stdlib.h>

struct trace *trace_create(void)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	for (u64 i = 0; trace && i < TRACE_SLOTS; i++)
		atomic_init(&trace->slots[i].turn, i);
	return trace;
}

/* A slot is free for the put of number `turn`, and full for the take of number `turn - 1`. */
void trace_put(struct trace *trace, const struct trace_fault *fault)
{
	u64 number = atomic_load_explicit(&trace->put, memory_order_relaxed);
	struct trace_slot *slot;
	s64 ahead;

	for (;;) {
		slot = &trace->slots[number % TRACE_SLOTS];
		ahead = (s64)(atomic_load_explicit(&slot->turn, memory_order_acquire) - number);
		if (ahead < 0) {
			atomic_fetch_add_explicit(&trace->dropped, 1, memory_order_relaxed);
			return;
		}
		if (ahead > 0)
			number = atomic_load_explicit(&trace->put, memory_order_relaxed);
		else if (atomic_compare_exchange_weak_explicit(&trace->put, &number, number + 1,
							       memory_order_relaxed,
							       memory_order_relaxed))
			break;
	}
	slot->fault = *fault;
	atomic_store_explicit(&slot->turn, number + 1, memory_order_release);
}

bool trace_take(struct trace *trace, struct trace_fault *fault)
{
	struct trace_slot *slot = &trace->slots[trace->taken % TRACE_SLOTS];

	if (atomic_load_explicit(&slot->turn, memory_order_acquire) != trace->taken + 1)
		return false;
	*fault = slot->fault;
	atomic_store_explicit(&slot->turn, trace->taken + TRACE_SLOTS, memory_order_release);
	trace->taken++;
	return true;
}
