/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's page allocator. The workload's share of the heap is cut into one run of pages per
 * vCPU, each of which belongs to that vCPU alone: nothing a workload does takes a lock.
 */
#ifndef GUEST_DRIVER_HEAP_H
#define GUEST_DRIVER_HEAP_H

#include "guest-driver/abi.h"

/* A vCPU's pages not handed out yet: guest addresses, page-aligned. */
struct heap {
	u64 next;
	u64 end;
};

/* Where the shares of all vCPUs begin, and the bytes of each; what follows them is free. */
static inline u64 heap_start(const struct guest_boot *boot)
{
	return ALIGN_UP(boot->heap_start, PAGE_SIZE);
}

u64 heap_share(const struct guest_boot *boot);

/* The share of one vCPU, of boot->vcpus. */
void heap_init(struct heap *heap, const struct guest_boot *boot, u32 vcpu);

static inline u64 heap_left(const struct heap *heap)
{
	return heap->end - heap->next;
}

/* Takes whole pages for that many bytes: the guest address, or 0 when there are too few left. */
u64 heap_take(struct heap *heap, u64 bytes);

#endif
