// SPDX-License-Identifier: Apache-2.0
/*
 * Telling the host which pages are free (Virtio 1.2, sections 5.5.6.6 and 5.5.6.7): by itself, after a
 * delay, and in answer to its questions. Part of the balloon's driver.
 *
 * Free blocks that were written since are reported after a delay that grows when reported blocks are soon used
 * again (the host then has to bring zeroes: time spent on allocation) and shrinks when they are not (memory
 * released late).
 */
#ifndef GUEST_DRIVER_FREE_PAGES_H
#define GUEST_DRIVER_FREE_PAGES_H

#include "lib/types.h"

#define FREE_DELAY_FIRST 1000000000ULL /* ns */
#define FREE_DELAY_LEAST 250000000ULL
#define FREE_DELAY_MOST	 30000000000ULL

struct guest_cpu;
struct balloon_driver;

/* Reports what is due, and takes back what the host has seen. */
void free_pages_report(struct guest_cpu *cpu, u64 now);

/* Answers the host's question, when there is one. */
void free_pages_hint(struct guest_cpu *cpu);

/* Judges the delay by what was reported, and used again, since it was last judged. */
void free_pages_adapt(struct balloon_driver *balloon);

#endif
