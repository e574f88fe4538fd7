/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/around.h"

#include "lib/bits.h"
#include "mem/uffd.h"

/* Of a region so many pages must have been touched to make it one huge page, in some 0.4 ms. */
#define HUGE_PAGES (REGION_PAGES / 8)

/* A write to it need not be seen, and it is in the RAM file. */
static bool can_be_mapped(const struct space *space, u64 index)
{
	struct page_word word = page_table_read(&space->table, index);

	return page_word_at_home(word) && !page_word_busy(word) && !page_word_hint(word);
}

/* Of a group, what of `unmapped` can be mapped: a bit each. */
static u64 absent_pages(const struct space *space, u64 first, u32 unmapped)
{
	u64 absent = 0;

	for (u32 i = 0; i < GROUP_PAGES; i++)
		absent |= (u64)(unmapped >> i & 1 && can_be_mapped(space, first + i)) << i;
	return absent;
}

/* What cannot be mapped now is mapped when it is touched. Region's lock held. */
static u32 map_group(struct space *space, u64 first, u32 unmapped)
{
	const u64 absent = absent_pages(space, first, unmapped);
	u32 mapped = 0;

	for (u32 from, end = 0; bits_next_run(&absent, GROUP_PAGES, &from, &end);)
		if (!uffd_continue(space->options.uffd, space_hva(space, first + from),
				   (end - from) * PAGE_SIZE))
			mapped += end - from;
	return mapped;
}

/* Maps the rest of the groups of which a page is mapped. Region's lock held. */
static u32 map_groups(struct space *space, u64 first, const u64 unmapped[REGION_PAGES / 64])
{
	struct region *region = space_region(space, first);
	u32 mapped = 0;

	for (u32 i = 0; i < REGION_GROUPS; i++) {
		u32 group = region_group(unmapped, i);

		if (group == GROUP_ALL || !group || region->clean >> i & 1)
			continue;
		region_note_use(space, first + i * GROUP_PAGES);
		mapped += map_group(space, first + i * GROUP_PAGES, group);
	}
	return mapped;
}

u32 around_map(struct space *space, u64 index)
{
	u64 unmapped[REGION_PAGES / 64], first = ALIGN_DOWN(index, REGION_PAGES);
	struct region *region = space_region(space, first);
	bool collapse;
	u32 mapped = 0;

	if (region_unmapped(space, first, unmapped))
		return 0;
	pthread_mutex_lock(&region->lock);
	if (region->sampled && region->mapping == REGION_ARMED)
		mapped = map_groups(space, first, unmapped);
	collapse = region->sampled && region->mapping == REGION_WHOLE && !region->huge &&
		   bits_count(unmapped, REGION_PAGES) <= REGION_PAGES - HUGE_PAGES;
	/* A huge page shows no more of it than that it is in use. */
	if (collapse)
		region->used = UINT32_MAX;
	pthread_mutex_unlock(&region->lock);
	if (collapse && !region_collapse(space, first))
		mapped = REGION_PAGES;
	atomic_fetch_add_explicit(&space->counters.around, mapped, memory_order_relaxed);
	return mapped;
}
