/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that somebody waits for, and that work little at a time. Linux 6.12 and later let a thread ask
 * for a short slice: it gets no more of the processor in all, but gets it sooner after waking, before
 * threads that compute (Documentation/scheduler/sched-eevdf.rst; sched_attr::sched_runtime).
 */
#ifndef LIB_URGENT_H
#define LIB_URGENT_H

/* The calling thread is one of those. Needs no privilege; where the kernel knows of no slices, nothing
 * changes. */
void thread_is_urgent(void);

#endif
