/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each guest is entitled to, as far as taking memory is concerned: reclaim takes from those who stand
 * highest above what is theirs, and from the others only when nothing can be had there. So shares hold
 * even among guests that ignore whatever they are asked for. Who decides the figures is not known here.
 */
#ifndef MEM_ENTITLEMENT_H
#define MEM_ENTITLEMENT_H

#include <stdatomic.h>

#include "lib/types.h"

struct memory;
struct space;

/* In resident pages; min <= keep <= goal. May be changed at any time. */
struct entitlement {
	_Atomic u64 min;      /* taken below this only when everybody else is as well */
	_Atomic u64 keep;     /* what lies between this and the goal is cold, and goes first */
	_Atomic u64 goal;     /* its share of the host */
	_Atomic u64 limit;    /* it never has more, whatever is free */
	_Atomic u64 leaving;  /* pages that somebody may be taking just now */
	_Atomic bool blocked; /* its faults have to wait a little, each time */
};

/* Where a guest stands, from who is spared longest to who is asked first. */
enum standing {
	STANDING_WITHIN_MIN,
	STANDING_WITHIN_KEEP,
	STANDING_ABOVE_KEEP,
	STANDING_ABOVE_GOAL,
	STANDING_ABOVE_LIMIT, /* or close to it */
};

/* Nothing is guaranteed and nothing is limited: all guests stand alike. */
void entitlement_init(struct entitlement *entitlement);

enum standing entitlement_standing(const struct space *space);

/* The highest that any guest stands who has memory and could give it. Takes and gives back references;
 * no lock. */
enum standing entitlement_highest(struct memory *memory);

/* Pages resident in guests that stand so high or higher. */
u64 entitlement_pages(struct memory *memory, enum standing least);

/* Around the eviction of a region: several may be at it, and each must know what the others take. */
void entitlement_leave(struct space *space);
void entitlement_left(struct space *space);

/* Whether so many pages more would take the guest over its limit. */
bool entitlement_is_full(const struct space *space, u64 pages);

#endif
