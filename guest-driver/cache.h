// SPDX-License-Identifier: Apache-2.0
/*
 * A page cache: units whose content can be made again from the data, as a file's pages can be read again.
 * Each vCPU has its own. While all its pages are there it is like any memory; when the balloon has taken
 * some, the least recently used units are without one, and touching such a unit takes the page of another
 * and makes the content again: a major fault, and the sign that the guest has given too much.
 */
#ifndef GUEST_DRIVER_CACHE_H
#define GUEST_DRIVER_CACHE_H

#include "lib/types.h"

struct guest_cpu;

/* A page of the cache; links are numbers of pages, plus one. */
struct cache_page {
	u32 unit; /* plus one; 0: it holds nothing */
	u32 newer, older;
};

struct cache {
	u32 count; /* units, and as many pages */
	u32 floor; /* pages that are never given */
	u8 *base;
	u32 *page_of; /* each unit's page, plus one */
	u8 *made;     /* units that were made before: their next making is a fault */
	struct cache_page *pages;
	u32 newest, oldest;   /* of those that hold a unit */
	u32 free, ballooned;  /* lists of those that do not, by `older` */
	u32 resident, spares; /* how many hold a unit; how many are free */
	u32 held;	      /* how many the balloon has */
};

/* Memory for a cache of that many units, in bytes. */
u64 cache_bytes(u64 units);

/* `memory` is cache_bytes(units) of the guest's, page-aligned. */
void cache_init(struct cache *cache, u8 *memory, u64 units);

/* Where the unit is; *made: its content has gone and is the caller's to write again. */
u8 *cache_touch(struct guest_cpu *cpu, u32 unit, bool *made);

/* Does what the balloon's driver asks of this vCPU, a bounded part of it. */
void cache_trade(struct guest_cpu *cpu);

#endif
