/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets how much: shares, with a tax on idle memory (Waldspurger, OSDI 2002, sections 5.1 to 5.3).
 *
 * There, memory is revoked from whoever pays least for a page, until nobody pays less than another. What
 * a guest with S shares pays for each of its P pages, of which the fraction f is active, is
 *
 *	S / (P * (f + k * (1 - f)))	with k = 1 / (1 - tax)
 *
 * An idle page costs as much as k active ones: with a tax of 75 % four. What it costs above an active one is
 * multiplied for guests that miss little of what was taken from them (balloon/misses.h). Taking from a guest takes
 * its idle pages first; what it gets beyond what it has is taken to be as active as that is, or a guest that uses
 * all it has could never get the room in which to use more.
 *
 * Where the process of revoking ends can be
 * computed at once: all guests that are not at one of their bounds pay the same price, so each has what
 * its shares buy at that price, and the price is the one at which all that is there is sold.
 */
#ifndef BALLOON_SHARES_H
#define BALLOON_SHARES_H

#include "lib/types.h"

#define SHARES_MAX 1000000U

/* One guest's claim; bytes but for the shares. floor <= want <= cap. */
struct claim {
	u32 shares; /* 1 to SHARES_MAX */
	u64 has;    /* now */
	u64 active; /* of that, this much is in use */
	u32 calm;   /* its idle memory is taxed so many times; 0 is 1 */
	u64 floor;  /* it never gets less */
	u64 want;   /* it can use so much now */
	u64 cap;    /* it never gets more */
	u64 share;  /* out */
};

/*
 * Divides `bytes`. First everybody is served up to what he wants; what is left then goes on up to the
 * caps. The shares add up to `bytes` exactly, unless all floors together are more, or all caps less: then
 * to those. tax_pct: 0 to 99.
 */
void shares_divide(struct claim *claims, u32 count, u64 bytes, u32 tax_pct);

#endif
