/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's memory as `mem/` sees it: the budget, the page sources by state, the order in which an
 * evicted page is offered to them, and the table of guest spaces. Wired once, at start-up, by
 * whoever runs the host; nothing in it changes afterwards but the spaces.
 */
#ifndef MEM_MEMORY_H
#define MEM_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "mem/breaks.h"
#include "mem/budget.h"
#include "mem/page.h"
#include "mem/pressure.h"
#include "mem/sought.h"

#define MEMORY_MAX_SPACES 1024

struct fill;
struct page_source;
struct reclaim;
struct space;
struct trace;
struct turns;

/* A place in the table of spaces. The slot outlives the space in it, so a reference can be taken
 * without a lock: by counting it, if the space still lives. */
struct space_slot {
	_Atomic u64 references; /* and SPACE_LIVE */
	struct space *space;
};
#define SPACE_LIVE (1ULL << 63)

struct memory {
	struct budget budget;

	/* Where the content of a page in this state comes from; NULL for states mem/ serves itself
	 * (zero, same-filled, resident) or that nobody can enter. */
	struct page_source *sources[PAGE_STATES];
	/* Who is asked to store an evicted page, in this order; ends with NULL. */
	struct page_source *stores[PAGE_STATES];

	bool huge_pages; /* 2 MiB pages where a region is whole */
	_Atomic u32
		readahead_pages; /* that one fault brings back, at most: 1 to READAHEAD_MAX_PAGES */

	/* Totals since start. */
	_Atomic u64 evictions; /* pages; also the clock of refault distances */
	_Atomic u64 same_filled;
	_Atomic u64 evict_cancelled;
	_Atomic u64 evict_refused; /* pages that no store had room for */
	_Atomic u64 direct_reclaims;

	/* Frees bytes on behalf of a fault that found no frame; false when nothing could be freed. `waiter`: whose handler
	 * waits here, or NULL; when its VMM has something to say (space_is_called()), it returns true with nothing done.
	 * Set by reclaim_create(). */
	bool (*direct_reclaim)(struct memory *memory, u64 bytes, struct space *waiter);
	_Atomic bool reclaiming; /* the background thread is at work */
	/* So many bytes should be free as long as some guest has more than it should keep. */
	_Atomic u64 free_goal;
	struct reclaim *reclaim;

	struct pressure pressure; /* of all guests together */
	/* Pages that guests have written to in the place of shared frames, and that are not home yet
	 * (mem/remap.h): nothing but bringing them home makes them evictable. */
	_Atomic u64 private_pages;
	_Atomic u64 own_pages;	   /* the same of pages that lie between shared ones in sheets */
	_Atomic u64 foreign_pages; /* pages in whose place frames are mapped, those two included */
	_Atomic u64 cow_breaks; /* writes to shared pages, of all guests that ever were */
	struct break_rate break_rate;
	_Atomic u64 break_waits,
		break_wait_ns;	 /* times a guest was held up before one, and how long */
	struct turns *turns;	 /* NULL: guests do not take turns */
	struct sharing *sharing; /* NULL: nothing is shared */
	_Atomic bool straining;	 /* the clock has to take what is in use */

	pthread_mutex_t
		sought_lock; /* guards the next, and the counts of spaces and regions; innermost */
	struct sought sought;
	_Atomic u32 sought_asked;

	/* Where resolved faults are put for a recorder; NULL: nowhere. Freed by memory_destroy(). */
	struct trace *_Atomic trace;

	struct fill *fills; /* buffers kept for the next fill */
	u32 fills_kept;
	u32 fills_spare;	    /* so many of them, the last, since fill_trim() */
	pthread_mutex_t fills_lock; /* innermost */

	u8 *split_buffer;	    /* a region's pages; allocated when it is needed first */
	bool split_used;	    /* since split_trim() */
	pthread_mutex_t split_lock; /* innermost */

	_Atomic u64 spaces_begun;
	struct space_slot slots[MEMORY_MAX_SPACES];
	_Atomic u32 slots_used;	    /* no slot from here on was ever used */
	pthread_mutex_t slots_lock; /* innermost; only for beginning and ending a space */
	pthread_cond_t slots_changed;
};

/* The budget, and empty tables. */
void memory_init(struct memory *memory, u64 budget_bytes);

/* All spaces must be gone. */
void memory_destroy(struct memory *memory);

/* The space with this id, with a reference that space_put() gives back; NULL when there is none or
 * it is ending. */
struct space *memory_get_space(struct memory *memory, u32 id);

/* Pages resident in all guests together. */
u64 memory_resident_pages(struct memory *memory);

/* Pages of all guests together whose content is in a store, or in their descriptor. */
u64 memory_stored_pages(struct memory *memory);

/* What the descriptors and regions of all guests take, in bytes. */
u64 memory_metadata_bytes(struct memory *memory);

#endif
