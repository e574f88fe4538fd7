/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory as the manager has it: (RAM file, userfaultfd, regions). Pages are counted by
 * their place in the RAM file; where the VMM mapped them is needed only for the ioctls.
 *
 * A space is reference-counted: its handler thread, whoever evicts from it, and every load in
 * flight hold one. space_end() waits for all of them.
 */
#ifndef MEM_SPACE_H
#define MEM_SPACE_H

#include "lib/hist.h"
#include "mem/entitlement.h"
#include "mem/memory.h"
#include "mem/page_table.h"
#include "mem/pressure.h"
#include "mem/readahead.h"
#include "mem/region.h"

#define SPACE_MAX_MAPPINGS 8

/* A part of the RAM file and where it is mapped in the VMM. */
struct space_mapping {
	u64 hva;
	u64 file_offset;
	u64 length;
};

struct space_range {
	u64 file_offset;
	u64 length;
};

struct space_client;

/* What a space asks of the guest's side. Called from any thread; must not block. */
struct space_client_ops {
	/*
	 * Unmap these ranges in the VMM, keep their content; space_zapped() when it is done. Returns
	 * 0 or -errno: nothing will be unmapped then. May be NULL: no idle sampling.
	 */
	int (*zap)(struct space_client *client, const struct space_range *ranges, u32 count);

	/* The guest cannot go on: a page of it is lost or there is no memory for it. Its faulting
	 * threads stay stopped. Called once. */
	void (*failed)(struct space_client *client, const char *why);
};

struct space_client {
	const struct space_client_ops *ops;
};

struct space_options {
	const char *name;
	struct space_client *client;
	int ram;     /* the RAM file; closed by space_end() */
	int uffd;    /* registered over all mappings; closed by space_end() */
	int pagemap; /* /proc/PID/pagemap of the VMM, or -1: no idle sampling; closed too */
	int pidfd;   /* of the VMM, or -1: regions are not collapsed; closed too */
	u64 bytes;   /* of the RAM file; a multiple of the region size */
	u32 node;    /* NUMA node pages should come from */
	u32 salt;    /* its sharing domain: its pages share content only with spaces of the same */
	bool bind;   /* ... and shall be bound to */
	bool removes; /* the VMM drops memory of its own accord: UFFD_EVENT_REMOVE; no WHOLE regions */
	u32 threads; /* virtual CPUs: as many can wait for memory at once */
	u32 mappings;
	struct space_mapping mapping[SPACE_MAX_MAPPINGS];
};

/* Since the space began. One writer each, or atomic. */
struct space_counters {
	_Atomic u64 missing, minor, wp, removed;
	_Atomic u64 stall_ns;
	_Atomic u64 evicted, refaulted;
	_Atomic u64 dropped; /* pages, because their guest gave them up */
	_Atomic u64 whole_regions;
};

struct space {
	struct memory *memory;
	struct space_options options;
	u32 id;
	_Atomic bool failed;
	struct page_table table;
	u64 region_count;
	struct region *regions;
	u8 *alias;		    /* the RAM file mapped here, with huge pages allowed */
	struct readahead readahead; /* of the handler thread alone */
	/* Of a VMM that drops memory: held while a REMOVE event is read and noted, and while a load
	 * that ends in another thread puts its pages into the guest. Before region locks. */
	pthread_mutex_t removes_lock;
	struct space_counters counters;
	pthread_mutex_t hist_lock;
	struct hist fault_latency[PAGE_STATES]; /* by the state the page was in; hist_lock */
	_Atomic bool zap_pending;
	_Atomic u64 reclaim_hand; /* region that reclaim_from() takes next */
	struct pressure pressure;
	u64 metadata_bytes;
	struct entitlement entitlement;
};

/* Puts a guest's memory under management. The descriptors in options become the space's, on failure
 * as well. Returns 0 or -errno with the reason logged. */
int space_begin(struct memory *memory, const struct space_options *options, struct space **space);

/* The guest is gone: waits until nobody uses the space, forgets its stored pages, gives its memory
 * back to the budget. The caller's handler thread must have stopped. */
void space_end(struct space *space);

/* Gives back a reference of memory_get_space(). */
void space_put(struct space *space);

/* Asks the VMM to unmap ranges, one request at a time. Returns 0, or -errno: -EBUSY when it still has to
 * answer the last one, -ENOTSUP when it cannot be asked; nothing will be unmapped then. */
int space_zap(struct space *space, const struct space_range *ranges, u32 count);

/* The VMM did what it was asked. */
void space_zapped(struct space *space);

/* So many more of the guest's threads wait for memory, or fewer: its pressure, and the host's. */
void space_waits(struct space *space, s32 more);

/* Stops the guest, once, with a reason in the space's name. */
void space_fail(struct space *space, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct region *space_region(struct space *space, u64 index)
{
	return &space->regions[index / REGION_PAGES];
}

/* Where page `index` is mapped in the VMM; the whole region lies there in one piece. 0 when it is not
 * mapped, which a valid index never gives. */
u64 space_hva(const struct space *space, u64 index);

/* The page mapped at this address of the VMM, or -EFAULT. */
s64 space_index(const struct space *space, u64 hva);

#endif
