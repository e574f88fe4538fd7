/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns. Where guests want more memory than there is, all of them all of the time, each page that comes back drives out
 * one that is wanted next, and all get the same: nothing. Then they take turns. Who has one is spared by reclaim and
 * gets back what it touches in large pieces, so that soon it misses nothing and runs as if it were alone; the others'
 * faults wait a little, each time, so that they do not take away again what it gets. A turn lasts until it has run
 * for as long as it took to bring it in, and has had no less memory, over time and by its shares, than those who wait; it
 * ends early when its guest does nothing with it.
 *
 * Where guests compute much for each page they miss, turns would cost more than they bring. So what they lose without is
 * looked at, now and then, and compared with what they lose with (mem/turns_worth.h).
 *
 * (What VMS did by its balance set, and Linux 2.6 to 3.4 by its swap token: Jiang and Zhang, Token-ordered LRU, Performance
 * Evaluation 60, 2005. Those have one holder; here the next is brought in while the last one runs, as far as memory
 * goes.)
 *
 * A guest whose memory fits never waits, and none does who is alone in missing what was stored. Mins and limits go
 * before turns.
 */
#ifndef MEM_TURNS_H
#define MEM_TURNS_H

#include <stdatomic.h>

#include "lib/types.h"

struct memory;
struct space;
struct turns;

enum turn_state {
	TURN_NONE, /* it gets along, or has not missed enough to be worth a turn */
	TURN_WAITS,
	TURN_HAS,
};

/* A guest's. Zero: none. */
struct turn {
	_Atomic u32 state;
	_Atomic u64 given;     /* turns that it has had */
	_Atomic u64 waited_ns; /* its faults, for a turn */
	/* Of the thread that looks. */
	u64 stall_ns, missed, cpu_ns; /* in all, at the last look; the first as pressure sums it */
	u32 missing; /* for so many looks more, what it waits for is taken for something stored */
	/* Of the last looks, those before ever less: it waited for what was stored; all of its time. */
	u64 lost_ns, own_ns;
	u64 since_ns;		  /* it has had its turn; without one, when it last thrashed */
	u64 suffered_ns;	  /* what it has waited since it last got along */
	u64 calm_ns, bringing_ns; /* of its turn, till now */
	u64 quiet_ns;		  /* it has run, or had nothing to do, since it was last held up */
	u64 most_ns;		  /* bringing in, in its turn */
	double had;		  /* memory while turns are taken: pages times ns by its shares */
	u64 idle_ns;		  /* it has done nothing with it */
};

/* A page that comes back in a turn brings so many with it. */
#define TURN_PAGES 64U

/* For the guests of this memory, which have no turns before. Returns 0 or -errno. */
int turns_create(struct memory *memory, struct turns **turns);
/* Starts the thread that looks. Returns 0 or -errno. */
int turns_start(struct turns *turns);
/* All spaces must be gone. */
void turns_destroy(struct turns *turns);

/* Off: all get along as they can. On from the start; any thread. */
void turns_enable(struct turns *turns, bool on);

/* Looks who thrashes, ends turns and gives them. `processors_short`: who did not run may have wanted to. Of the one thread,
 * or of a test that starts none. */
void turns_look(struct turns *turns, u64 now_ns, bool processors_short);

/* Whether this guest has a turn. */
bool turns_has(const struct space *space);

/* In the fault handler, before what was stored is brought back for a fault that was read at began_ns: returns when it
 * may go on. No lock held. */
void turns_wait(struct space *space, u64 began_ns);

#endif
