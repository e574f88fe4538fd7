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

/* In resident pages, unless it says otherwise; min <= keep <= goal. May be changed at any time. */
struct entitlement {
	_Atomic u64 min;      /* taken below this only when everybody else is as well */
	_Atomic u64 keep;     /* what lies between this and the goal is cold, and goes first */
	_Atomic u64 goal;     /* its share of the host */
	_Atomic u64 limit;    /* it never has more, whatever is free */
	_Atomic u64 swap_max; /* no more of it is stored, in pool and swap file together */
	_Atomic u64 storing;  /* pages that somebody may be storing just now */
	_Atomic u64 leaving;  /* pages that somebody may be taking just now */
	_Atomic u64 cold_ms;  /* what is not touched for so long goes ahead of need; 0: nothing does */
	_Atomic u64 shares;   /* of what the guests share by turns (mem/turns.h): relative to the others' */
	_Atomic bool blocked; /* its faults have to wait a little, each time */
};

/* Where a guest stands, from who is spared longest to who is asked first. */
enum standing {
	STANDING_AT_SWAP_MAX, /* only what repeats a word can be had there */
	STANDING_WITHIN_MIN,
	STANDING_IN_TURN, /* mem/turns.h */
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

/* Before a page of it is stored: false, its swap_max has no room for it. Else entitlement_stored(), once it is
 * counted as stored, or is not going to be. */
bool entitlement_store(struct space *space);
void entitlement_stored(struct space *space, u32 pages);

/* Guests that keep memory because they are at their swap_max. As entitlement_highest(). */
u32 entitlement_held_back(struct memory *memory);

/* Whether so many pages more would take the guest over its limit. */
bool entitlement_is_full(const struct space *space, u64 pages);

#endif
