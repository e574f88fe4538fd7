// SPDX-License-Identifier: Apache-2.0
/* Pages are handed out in order and never come back: a workload takes all it needs at its start. */
#include "guest-driver/heap.h"

u64 heap_share(const struct guest_boot *boot)
{
	u64 start = heap_start(boot);
	u64 pages = start < boot->ram_bytes ? (boot->ram_bytes - start) / PAGE_SIZE : 0;

	return pages * boot->args.fill_percent / 100 / boot->vcpus * PAGE_SIZE;
}

void heap_init(struct heap *heap, const struct guest_boot *boot, u32 vcpu)
{
	u64 share = heap_share(boot);

	heap->next = heap_start(boot) + vcpu * share;
	heap->end = heap->next + share;
}

u64 heap_take(struct heap *heap, u64 bytes)
{
	u64 start = heap->next;

	if (!bytes || bytes > heap_left(heap))
		return 0;
	heap->next = start + ALIGN_UP(bytes, PAGE_SIZE);
	return start;
}
