/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region: the 512 pages that one huge page covers. It is the unit of mapping, and its lock is the
 * one lock of a page's life.
 *
 *	ARMED  registered with userfaultfd: pages may be absent, and who touches one is seen; so are
 *	       writes to what is protected. What is in the RAM file the kernel maps by itself
 *	WHOLE  not registered: all 512 pages are resident, the kernel maps them as it likes, by one
 *	       2 MiB page where it can; the guest runs at native speed and the manager sees nothing
 *
 * A region may be WHOLE only while nobody can take a page out of it: before eviction it is armed
 * again. What makes this cheap is that registering leaves a huge mapping as it is (6 us).
 *
 * Lock order: region lock, then a store's own locks. Never two regions at once.
 */
#ifndef MEM_REGION_H
#define MEM_REGION_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/types.h"
#include "mem/sought.h"

/* Pages are evicted and brought back in aligned groups: a fault costs 50-110 us, a page 2. */
#define GROUP_PAGES   16U
#define REGION_GROUPS (REGION_PAGES / GROUP_PAGES)
#define GROUP_ALL     ((1U << GROUP_PAGES) - 1)

enum region_mapping { REGION_ARMED, REGION_WHOLE };

struct region {
	pthread_mutex_t lock;
	u16 resident; /* pages in PAGE_RESIDENT */
	u16 held;     /* pages busy */
	u8 mapping;   /* enum region_mapping */
	bool huge;    /* its memory is one huge page, as far as we know */
	bool large;   /* ... or parts of it may lie in pages larger than small ones: mem/split.h */
	_Atomic bool waited; /* a guest waits for a page that is busy here */
	bool hinted;	     /* pages of it may have a hint */
	bool sampled;	     /* unmapped by the front hand of the clock, not looked at since */
	bool watched;  /* armed for the sharing scanner alone: whole again when it is touched */
	u8 protection; /* passes of the clock it is spared: it was refaulted soon after eviction */
	u16 foreign;   /* pages in whose place the VMM has the file of shared frames mapped */
	u16 private;   /* ... and that the guest has written to since */
	u16 own;       /* ... and that never were shared: the region is a sheet (mem/remap.h) */
	u32 clean;     /* groups write-protected by the scanner and not written since, a bit each */
	u32 used; /* groups seen in use since the clock sampled the region, and perhaps unmapped again */
	u32 evicted_at; /* memory.evictions when pages were last taken, in regions' worth */
	struct sought_count sought;
	u32 unmapped_s; /* when the hand of mem/cold.h unmapped it; 0: it did not, or it was used since */
};

struct space;

/* Of a set of a region's pages, those of one group. */
static inline u32 region_group(const u64 pages[REGION_PAGES / 64], u32 group)
{
	return (u32)(pages[group * GROUP_PAGES / 64] >> group * GROUP_PAGES % 64) & GROUP_ALL;
}

/* These want the region's lock held; `index` is any page of it. */

/* Hands a region to the kernel, if huge pages are wanted and its VMM drops no memory: from a region that
 * is not registered it would do so unseen, and an eviction meanwhile would bring the old content back.
 * All of it must be resident, none busy. Wakes whoever waits in it. */
void region_make_whole(struct space *space, u64 index);

/* Takes a WHOLE region back under userfaultfd. Returns 0 or -errno; it stays WHOLE then. */
int region_arm(struct space *space, u64 index);

/* Forgets the hints of pages [first, first + count), which are of one region: they may be written now. */
void region_forget_hints(struct space *space, u64 first, u64 count);

/* Notes that the group of a page is in use: the clock, which waits to see that, need not see it itself. */
void region_note_use(struct space *space, u64 index);

/* Whether any of `count` pages that were punched out of the RAM file is still in it, zeroed: the kernel could not
 * split the large page around it, because somebody used that just then. */
bool region_has_rest(const struct space *space, u64 first, u64 count);

/* These want it not. */

/* Which pages of the region the VMM has not mapped out of the RAM file, a bit each: nobody has touched them
 * since they were unmapped. Returns 0; or -EIO, it cannot be told. */
int region_unmapped(const struct space *space, u64 index, u64 pages[REGION_PAGES / 64]);

/* Gives a WHOLE region that is made of small pages a huge one, in the VMM's address space, by copying.
 * Returns 0 or -errno; 0 too when it is not WHOLE. */
int region_collapse(struct space *space, u64 index);

#endif
