/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An array of pages, each filled with the content of its number and version, and the array of
 * versions beside it, in guest memory as well. A version is 1 after the fill and grows by one with
 * each write, so versions add up to pages filled + writes made: a page and its version that went back
 * in time together would match each other, but not that sum.
 */
#ifndef GUEST_DRIVER_PAGES_H
#define GUEST_DRIVER_PAGES_H

#include "guest-driver/guest.h"

/* Takes all that is left of the vCPU's heap; false when that is less than a few pages. */
bool pages_prepare(struct guest_cpu *cpu);
void pages_fill(struct guest_cpu *cpu, u64 page);
void pages_verify(struct guest_cpu *cpu, u64 page);
void pages_audit(struct guest_cpu *cpu);

/* One operation on a page: read and verify it; as often as the arguments say, write the next
 * version. */
void pages_access(struct guest_cpu *cpu, u64 page);

/* Writes the next version of a page that was filled. */
void pages_rewrite(struct guest_cpu *cpu, u64 page);

#endif
