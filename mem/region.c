/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/region.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/bits.h"
#include "mem/pagemap.h"
#include "mem/space.h"
#include "mem/uffd.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; younger than the C library's header */
#endif

void region_make_whole(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);
	u64 first = ALIGN_DOWN(index, REGION_PAGES);

	assert(region->resident == REGION_PAGES && !region->held);
	if (region->mapping == REGION_WHOLE || !space->memory->huge_pages ||
	    space->options.removes || region->foreign)
		return;
	if (uffd_unregister(space->options.uffd, space_hva(space, first), REGION_SIZE))
		return;
	region_forget_hints(space, first, REGION_PAGES);
	region->mapping = REGION_WHOLE;
	region->clean = 0;
	region->watched = false;
	atomic_fetch_add_explicit(&space->counters.whole_regions, 1, memory_order_relaxed);
}

void region_forget_hints(struct space *space, u64 first, u64 count)
{
	if (!space_region(space, first)->hinted)
		return;
	for (u64 i = first; i < first + count; i++)
		page_hint(&space->table, i, 0);
}

int region_arm(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);
	u64 first = ALIGN_DOWN(index, REGION_PAGES);
	int result;

	if (region->mapping == REGION_ARMED)
		return 0;
	result = uffd_register(space->options.uffd, space_hva(space, first), REGION_SIZE);
	if (result)
		return result;
	region->mapping = REGION_ARMED;
	atomic_fetch_sub_explicit(&space->counters.whole_regions, 1, memory_order_relaxed);
	return 0;
}

int region_unmapped(const struct space *space, u64 index, u64 pages[REGION_PAGES / 64])
{
	u64 entries[REGION_PAGES], first = ALIGN_DOWN(index, REGION_PAGES);

	if (pagemap_read(space, first, REGION_PAGES, entries))
		return -EIO;
	for (u32 i = 0; i < REGION_PAGES; i++)
		bits_put(pages, i, !pagemap_at_home(space, first + i, entries[i]));
	return 0;
}

void region_note_use(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);

	if (region->sampled)
		region->used |= 1U << index % REGION_PAGES / GROUP_PAGES;
}

bool region_has_rest(const struct space *space, u64 first, u64 count)
{
	off_t from = (off_t)(first * PAGE_SIZE), rest;

	rest = lseek(space->options.ram, from, SEEK_DATA);
	return rest >= from && rest < from + (off_t)(count * PAGE_SIZE);
}

int region_collapse(struct space *space, u64 index)
{
	struct region *region = space_region(space, index);
	struct iovec range = {
		.iov_base = (void *)(uintptr_t)space_hva(space, ALIGN_DOWN(index, REGION_PAGES)),
		.iov_len = REGION_SIZE,
	};

	int result = 0;

	if (space->options.pidfd < 0)
		return -ENOSYS;
	pthread_mutex_lock(&region->lock);
	if (region->mapping == REGION_WHOLE) {
		if (syscall(SYS_process_madvise, space->options.pidfd, &range, 1, MADV_COLLAPSE,
			    0) < 0)
			result = -errno;
		else
			region->huge = region->large = true;
	}
	pthread_mutex_unlock(&region->lock);
	return result;
}
