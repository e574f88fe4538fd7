/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page source is where the content of an absent page comes from: the narrow waist between
 * `mem/`, which knows guests and faults, and the stores (pool, swap file, shared frames), which know
 * neither. Each source serves one page state and gives meaning to that state's payload.
 *
 * A source never touches guest memory: it fills and reads buffers. It is called from many threads
 * at once and with no lock held.
 */
#ifndef MEM_SOURCE_H
#define MEM_SOURCE_H

#include "mem/page.h"

struct page_source;
struct page_load;

/* The salt of pages that share with nobody, not even with one another. */
#define SALT_ALONE UINT32_MAX

/* One page to store. */
struct page_store {
	struct page_owner owner;
	const void *plain; /* 4096 bytes, stable during the call */
	u32 node;	   /* NUMA node of the guest */
	u32 salt;	   /* its sharing domain: the space's salt */
	bool unowned; /* of no page: the payload is the caller's, nobody finds it by the owner */
	u64 payload;  /* out: for the descriptor */
};

/* One page of a load. */
struct page_load_slot {
	u64 payload;
	void *buffer; /* 4096 bytes; written by the source */
	int result;   /* out: 0, -EIO (device), -EBADMSG (content does not match its hash) */
};

/*
 * A batch of pages to load, owned by the caller until the batch is done. `done` is called once, by
 * whatever thread finished the batch, and only if load() returned -EINPROGRESS.
 */
struct page_load {
	u32 count;
	bool ahead;   /* nobody waits for it as it begins: those that are waited for go first */
	bool patient; /* the caller has nothing else to do: load() may take as long as the device */
	struct page_load_slot *slots;
	void (*done)(struct page_load *load);
};

struct source_stats {
	u64 pages;	/* pages stored now */
	u64 blob_bytes; /* their stored content, after compression, without headers */
	u64 used_bytes; /* what they take: memory for the pool, disk space for the swap file */
	u64 stalled_ns; /* so long its device has been at work on writes and finished none; 0: no write waits */
};

struct page_source_ops {
	const char *name;
	enum page_state state;

	/*
	 * Stores a copy of page->plain. Returns 0 and sets page->payload, or: -E2BIG, this source is
	 * not the place for this content (ask the next); -ENOSPC, full; other -errno. May be NULL.
	 */
	int (*store)(struct page_source *source, struct page_store *page);

	/*
	 * Waits until every page stored so far by this thread can be loaded again. Returns 0, or
	 * -errno when any of them may be lost: the caller still has them all and invalidates them.
	 * NULL when store() is complete in itself.
	 */
	int (*flush)(struct page_source *source);

	/*
	 * Loads a batch; waits for a device only if the batch is patient. Returns 0 when all slots are
	 * filled in (each with its own result), or -EINPROGRESS when load->done will say so. Other
	 * -errno: nothing was started.
	 */
	int (*load)(struct page_source *source, struct page_load *load);

	/* Forgets a payload: its space can be used again. Never fails, never waits for I/O. */
	void (*invalidate)(struct page_source *source, u64 payload);

	void (*stats)(struct page_source *source, struct source_stats *stats);
};

struct page_source {
	const struct page_source_ops *ops;
};

#endif
