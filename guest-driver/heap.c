// SPDX-License-Identifier: Apache-2.0
/* Pages are handed out in order and never come back: a workload takes all it needs at its start. */
#include "guest-driver/heap.h"

void heap_init(struct heap *heap, const struct guest_boot *boot, u32 vcpu)
{
	u64 start = ALIGN_UP(boot->heap_start, PAGE_SIZE);
	u64 pages = start < boot->ram_bytes ? (boot->ram_bytes - start) / PAGE_SIZE : 0;
	u64 share = pages * boot->args.fill_percent / 100 / boot->vcpus;

	heap->next = start + vcpu * share * PAGE_SIZE;
	heap->end = heap->next + share * PAGE_SIZE;
}

u64 heap_take(struct heap *heap, u64 bytes)
{
	u64 start = heap->next;

	if (!bytes || bytes > heap_left(heap))
		return 0;
	heap->next = start + ALIGN_UP(bytes, PAGE_SIZE);
	return start;
}
