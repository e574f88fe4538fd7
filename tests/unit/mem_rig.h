/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests inside the test process: RAM file, mapping, userfaultfd, a handler thread each; and a host's
 * memory with two page sources that keep pages in plain memory, one at once (as the pool does) and
 * one later from a thread of its own (as the disk does). Everything else is the real thing.
 */
#ifndef TESTS_MEM_RIG_H
#define TESTS_MEM_RIG_H

#include <pthread.h>

#include "mem/evict.h"
#include "mem/memory.h"
#include "mem/source.h"
#include "mem/space.h"

/* Keeps pages by number. */
struct vault {
	struct page_source source;
	struct page_source_ops ops;
	pthread_mutex_t lock;
	u8 **pages; /* by payload */
	u64 capacity, next;
	_Atomic u64 stored;
	_Atomic bool full;	 /* store says -ENOSPC */
	_Atomic bool refuse_odd; /* store says -E2BIG for odd page indexes */
	_Atomic bool refuse_all; /* ... and for all */
	_Atomic bool broken;	 /* load says -EIO */
	_Atomic bool flush_fails;
	/* Called by store(), with no lock held, before it copies the page. May be NULL. */
	void (*storing)(struct vault *vault, u32 index);
	/* Asynchronous loads: a queue of one-way links and a thread. */
	bool asynchronous;
	_Atomic bool paused; /* loads stay in the queue, till vault_resume() */
	pthread_cond_t queued;
	struct page_load *queue[256];
	u32 queue_length;
	bool stop;
	pthread_t thread;
};

struct mem_guest_options {
	u64 bytes;
	bool small;   /* no huge pages on its host */
	bool removes; /* its userfaultfd reports EVENT_REMOVE */
	bool mute;    /* zap() is never answered */
	bool alone;   /* no handler thread: whoever starts it serves its faults; nothing settles */
	bool pidfd;   /* so that regions can be collapsed */
	int frames;   /* what remap() maps; 0: there is no remap() */
	u32 salt;     /* its sharing domain */
};

struct mem_guest {
	struct mem_guest_options options;
	struct space_client client;
	struct space *space;
	u8 *ram; /* its mapping */
	u64 bytes;
	int uffd;
	pthread_t handler;
	_Atomic bool stop;
	_Atomic bool failed;
	_Atomic u32 zaps;
	/* Called by remap() after it has mapped a range of frames. May be NULL. */
	void (*mapped)(struct mem_guest *guest, const struct space_remap *range);
	/* ... and after it has staged them. May be NULL. */
	void (*staged)(struct mem_guest *guest);
	u64 refused;	    /* remap() of what has this for an offset fails; 0: of none */
	_Atomic u64 rounds; /* of the handler, each ends with nothing left to do */
	char why[512];
};

struct mem_rig {
	struct memory memory;
	struct vault pool, disk;
	struct mem_guest guest;
};

void vault_resume(struct vault *vault);

/* As a VMM opens one; removes: it reports EVENT_REMOVE. -errno. */
int mem_uffd_open(bool removes);

/* Skips the test, saying why, where the host has no userfaultfd for us. */
void mem_guest_start(struct mem_guest *guest, struct memory *memory,
		     const struct mem_guest_options *options);
/* Ends its space; threads of the guest that wait for a page go on, and find zeros. */
void mem_guest_end(struct mem_guest *guest);
/* Ends its space if that was not done, and unmaps its memory. */
void mem_guest_stop(struct mem_guest *guest);

/* A host under a budget, and one guest. with_disk: pages that the pool refuses go to the slow vault,
 * and the pool refuses odd ones. */
void mem_rig_start(struct mem_rig *rig, u64 bytes, u64 budget, bool with_disk);
void mem_rig_start_with(struct mem_rig *rig, const struct mem_guest_options *options, u64 budget,
			bool with_disk);
void mem_rig_stop(struct mem_rig *rig);

/* The state of a page, whoever holds it. */
enum page_state mem_guest_state(const struct mem_guest *guest, u64 index);

/* Content that is derived from page number and version: some pages repeat a word, some are zero, some
 * do not compress, most do; version 0 is untouched memory. */
void mem_guest_write(struct mem_guest *guest, u64 index, u32 version);
bool mem_guest_check(const struct mem_guest *guest, u64 index, u32 version);
void mem_guest_write_all(struct mem_guest *guest, u32 version);
/* Returns how many pages are not as they should be. */
u64 mem_guest_check_all(const struct mem_guest *guest, u32 version);

/* Evicts all that is resident, or fails the test. */
void mem_guest_evict_all(struct mem_guest *guest);

/* Waits until the handler has nothing to do and reads that nobody waits for have come home. What it did
 * till then may be looked at without a lock. */
void mem_guest_settle(struct mem_guest *guest);

/* Memory behind the RAM file, in pages, as the kernel counts it. */
u64 mem_guest_file_pages(const struct mem_guest *guest);

/* Waits for the guest to settle, then checks the counters against a walk of the descriptors. Nobody may
 * touch it. Returns how many pages are resident. */
u64 mem_guest_check_counters(struct mem_guest *guest);

/* The same, and the budget. */
void mem_rig_check_counters(struct mem_rig *rig);

/* xorshift64 (Marsaglia 2003); state must not be 0. */
u64 mem_random(u64 *state);

#endif
