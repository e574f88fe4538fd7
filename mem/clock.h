/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which memory to evict: a clock with two hands over the regions of all guests.
 *
 * The front hand unmaps regions; the back hand follows three quarters of the resident memory behind and looks
 * which of them have been touched since. Untouched memory is evicted, whole regions in one stroke.
 * Nobody pays while there is no pressure, because both hands move only when memory is wanted, and an
 * unmapped page that is touched in between comes back without I/O (second chance). What lies between the hands when
 * nobody wants memory any more is mapped again where it is in use (mem/around.h).
 * (Two hands: Babaoglu and Joy, SOSP 1981; 4.3BSD.)
 *
 * How the back hand sees a touch: the kernel has mapped the page again, which the VMM's /proc/PID/pagemap tells, at no
 * cost to the guest.
 *
 * When a full turn finds little cold, the hand works harder: first it arms the regions it unmaps, to
 * find the cold pages within warm regions; then it takes groups in turn, warm or not.
 *
 * While the host is short of memory, cold memory is taken from everybody down to the mins, and warm memory only from
 * those who stand highest above what they are entitled to (mem/entitlement.h); should a full turn with all force
 * get nothing from them, from everybody for a while. When it is not short, only those are looked at who stand highest.
 */
#ifndef MEM_CLOCK_H
#define MEM_CLOCK_H

#include "mem/memory.h"
#include "mem/reclaimer.h"

struct clock;

/* A reclaimer, to be given back by clock_destroy(). NULL when there is no memory. */
struct clock *clock_create(struct memory *memory);
void clock_destroy(struct clock *clock);

struct reclaimer *clock_reclaimer(struct clock *clock);

#endif
