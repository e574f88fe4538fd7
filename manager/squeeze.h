/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a budget comes down. A limit lowered in one step below what is in use would refuse every
 * fault until reclaim has caught up, seconds later; so it comes down in small ones, each of which
 * leaves the reserve that reclaim works with. Pure functions.
 */
#ifndef MANAGER_SQUEEZE_H
#define MANAGER_SQUEEZE_H

#include "lib/types.h"

/* What a host's budget may lose in a second when nobody says otherwise, in bytes: an eighth, and at least
 * 64 MiB. */
u64 squeeze_default_rate(u64 budget_bytes);

/*
 * The limit to set now, in bytes, on the way from `limit` down to `target`, elapsed_ns after the last
 * step: lower by at most rate (bytes a second), never so low that less than `reserve` is free beside
 * what is `used`; `limit` itself when nothing can be taken. Upwards, the target at once.
 */
u64 squeeze_step(u64 limit, u64 target, u64 used, u64 reserve, u64 rate, u64 elapsed_ns);

#endif
