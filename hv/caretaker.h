/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caretaker: the one thread of a VMM, besides the vCPUs, that touches guest memory. It boots the
 * guest, reads its statistics, writes the order to stop. Guest memory may be absent, and then the
 * touch waits for the manager; the manager meanwhile may wait for an answer from us, which the
 * control thread gives. So the two are two, and the control thread never waits for this one.
 */
#ifndef HV_CARETAKER_H
#define HV_CARETAKER_H

#include "hv/guest.h"

struct caretaker {
	struct hv_guest *guest;
	int wake;	       /* eventfd: look at the flags */
	_Atomic bool stop;     /* order the guest to stop */
	_Atomic bool begin;    /* tell it that all guests are filled */
	_Atomic bool finished; /* the guest has ended and the last statistics are in */
	pthread_mutex_t lock;  /* guards stats; a leaf */
	struct attach_stats stats;
};

/* Starts the thread, which boots and runs the guest. Returns 0 or -errno. There is no way to stop it
 * but the end of the process: it may wait for memory for ever. */
int caretaker_start(struct caretaker *caretaker, struct hv_guest *guest);

/* Asks the guest to finish; returns at once. */
void caretaker_order_stop(struct caretaker *caretaker);

/* Lets a guest that waits for the others begin; returns at once. */
void caretaker_begin(struct caretaker *caretaker);

/* The latest statistics. */
void caretaker_stats(struct caretaker *caretaker, struct attach_stats *stats);

#endif
