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
#include "mem/cold.h"
#include "mem/entitlement.h"
#include "mem/memory.h"
#include "mem/page_table.h"
#include "mem/pressure.h"
#include "mem/readahead.h"
#include "mem/region.h"
#include "mem/turns.h"

#define SPACE_MAX_MAPPINGS 32

/* A part of the RAM file and where it is mapped in the VMM. */
struct space_mapping {
	u64 hva;
	u64 file_offset;
	u64 length;
};

/* All of them at one time. Never changed once it is seen: a change is a new table. */
struct space_map {
	struct space_map *before; /* the table it took the place of */
	u32 count;
	struct space_mapping mapping[SPACE_MAX_MAPPINGS];
};

struct space_range {
	u64 file_offset;
	u64 length;
};

/* What a VMM shall map in the place of guest memory: privately, frames of its domain's store; or its RAM
 * file again; or what is staged, that is, lies in a place of a region's size beside guest memory. */
struct space_remap {
	u64 file_offset; /* in the RAM file, or SPACE_REMAP_STAGE: the frames are to be staged */
	u64 length;
	u64 frame_offset; /* in the store, or SPACE_REMAP_HOME, or SPACE_REMAP_MOVE: what is staged */
};
#define SPACE_REMAP_HOME  UINT64_MAX
#define SPACE_REMAP_MOVE  (UINT64_MAX - 1)
#define SPACE_REMAP_STAGE UINT64_MAX
#define SPACE_REMAP_MAX	 256U /* at once */

struct space_client;

/* What a space asks of the guest's side. Called from any thread; must not block. */
struct space_client_ops {
	/*
	 * Unmap these ranges in the VMM, keep their content; space_zapped() when it is done. Returns
	 * 0 or -errno: nothing will be unmapped then. May be NULL: no idle sampling.
	 */
	int (*zap)(struct space_client *client, const struct space_range *ranges, u32 count);

	/*
	 * Map these ranges as they say; space_remapped() when all are. Returns 0 or -errno: nothing
	 * will be mapped then. May be NULL: no frame is ever mapped, every touch of a shared page
	 * copies it.
	 */
	int (*remap)(struct space_client *client, const struct space_remap *ranges, u32 count);

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
	s32 pid;     /* of the VMM, or 0: unknown */
	bool remaps; /* frames of shared pages may be mapped in it */
	u64 stage;   /* where the VMM stages a region, or 0: it does not */
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
	_Atomic u64
		missed;	  /* faults on what was stored; refaulted is pages, those read ahead too */
	_Atomic u64 cold; /* evicted ahead of need, because nobody had touched them for long */
	_Atomic u64 dropped; /* pages, because their guest gave them up */
	_Atomic u64 around;  /* pages mapped because their group was in use */
	_Atomic u64 whole_regions;
	_Atomic u64 cow_breaks; /* writes to shared pages */
	_Atomic u64 vmas;	/* mappings that sharing has added, at most */
	_Atomic u64 foreign;	/* pages in whose place frames are mapped */
	_Atomic u64 private;	/* ... and that were written since: in the VMM's own memory */
	_Atomic u64 own;	/* ... there too, but never shared */
	struct break_rate break_rate;
};

struct space {
	struct memory *memory;
	struct space_options options;
	_Atomic u32
		salt; /* its sharing domain now; options.salt is that whose frames its VMM has */
	u32 id;
	_Atomic bool failed;
	struct page_table table;
	_Atomic(struct space_map *) map;
	u32 map_changes; /* of the thread that plugs */
	u64 region_count;
	struct region *regions;
	u8 *alias;		    /* the RAM file mapped here, with huge pages allowed */
	struct readahead readahead; /* of the handler thread alone */
	struct sought_count sought;
	struct turn turn;
	u64 hungry_ns; /* the handler has looked for memory since then; 0: it does not */
	_Atomic u32 reading_ahead; /* loads that nobody waits for, under way */
	/* Of a VMM that drops memory: held while a REMOVE event is read and noted, and while a load
	 * that ends in another thread puts its pages into the guest. Before region locks. */
	pthread_mutex_t removes_lock;
	struct space_counters counters;
	pthread_mutex_t hist_lock;
	struct hist fault_latency[PAGE_STATES]; /* by the state the page was in; hist_lock */
	_Atomic bool zap_pending;
	_Atomic u32 zaps;	  /* that were answered */
	_Atomic u64 reclaim_hand;   /* region that reclaim_from() takes next */
	_Atomic u32 reclaimed_from; /* by so many at this moment: all of it shall come home */
	struct pressure pressure;
	struct remap_state {
		pthread_mutex_t turn; /* one remap at a time, across the VMM's answer: outermost */
		u64 stray_bytes; /* of copies that a remap which failed left in the RAM file; turn */
		pthread_mutex_t lock; /* innermost; guards the two below */
		pthread_cond_t changed;
		bool pending;
		_Atomic bool gone; /* its VMM is, and will not answer */
		_Atomic u64
			reading; /* the page from whose region on we read the VMM's memory, ... */
		_Atomic u64 reading_ns; /* ... since then; 0: we do not */
	} remap;
	u64 serial; /* no other space of this host ever has the same */
	u64 metadata_bytes;
	struct entitlement entitlement;
	struct cold_hand cold_hand; /* of the reclaim thread alone */
};

/* Puts a guest's memory under management. The descriptors in options become the space's, on failure
 * as well. Returns 0 or -errno with the reason logged. */
int space_begin(struct memory *memory, const struct space_options *options, struct space **space);

/* The guest is gone: waits until nobody uses the space, forgets its stored pages, gives its memory
 * back to the budget. The caller's handler thread must have stopped. */
void space_end(struct space *space);

/*
 * The VMM has mapped a part more of the RAM file, and registered it; pages in it are zero. By one thread at a
 * time, as space_unplug(). Returns 0; -EINVAL when it is not in the file, -EEXIST when it is mapped already or
 * its addresses are taken, -ENOSPC when there are too many parts, or were too many changes.
 */
int space_plug(struct space *space, const struct space_mapping *mapping);

/* The VMM is going to unmap a part, as it was plugged or given to space_begin(), all of whose pages were dropped
 * (drop_pages()). Nobody here looks at its addresses any more. Returns 0; -ENOENT when there is no such part;
 * -EBUSY when a page in it is in use. */
int space_unplug(struct space *space, const struct space_mapping *mapping);

/* Gives back a reference of memory_get_space(). */
void space_put(struct space *space);

/* Whether the VMM can be asked to unmap ranges: not one that reports what it drops, because it would report
 * these as dropped too, and they are not. */
bool space_can_zap(const struct space *space);

/* Whether it can be seen what its guest uses: what was unmapped and is mapped again. */
bool space_is_sampled(const struct space *space);

/* Asks the VMM to unmap ranges, one request at a time. Returns 0, or -errno: -EBUSY when it still has to
 * answer the last one, -ENOTSUP when it cannot be asked; nothing will be unmapped then. */
int space_zap(struct space *space, const struct space_range *ranges, u32 count);

/* The VMM did what it was asked. */
void space_zapped(struct space *space);

/* Whether its VMM drops memory and has said something that nobody has read yet: till then the kernel refuses to evict
 * or to fill any of it (-EAGAIN). */
bool space_is_called(const struct space *space);

/* So many more of the guest's threads wait for memory, or fewer: its pressure, and the host's. */
void space_waits(struct space *space, s32 more);
/* ... and its remap(). */
void space_remapped(struct space *space);

/* The VMM is gone: whoever waits for an answer of it need not. Before space_end(). */
void space_gone(struct space *space);

/* Stops the guest, once, with a reason in the space's name. */
void space_fail(struct space *space, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct region *space_region(struct space *space, u64 index)
{
	return &space->regions[index / REGION_PAGES];
}

/* Pages whose content is in a store, or in their descriptor. */
u64 space_stored_pages(const struct space *space);

/* Where page `index` is mapped in the VMM; the whole region lies there in one piece. 0 when it is not
 * mapped, which a valid index never gives. */
u64 space_hva(const struct space *space, u64 index);

/* The page mapped at this address of the VMM, or -EFAULT. */
s64 space_index(const struct space *space, u64 hva);

#endif
