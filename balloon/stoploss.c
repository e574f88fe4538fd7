/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/stoploss.h"

#define HOLD_FIRST_MS 10000UL
#define HOLD_MAX_MS   160000UL
#define HOLD_OTHER_MS 2000UL
/* A few major faults a second are every guest's daily bread. */
#define FAULTS_PER_S 64
#define DIRECT_PER_S 64
#define NEWS_MS	     50 /* figures closer together are the same ones */

/* What grew, a second. A total that shrank is a guest that restarted, or lies. */
static u64 rate(u64 before, u64 now, u64 elapsed_ms)
{
	u64 grown = now > before ? MIN(now - before, 1UL << 40) : 0;

	return grown * 1000 / MAX(elapsed_ms, 1UL);
}

static bool hurts(const struct guest_signs *before, const struct guest_signs *now, u64 ms)
{
	if (now->alloc_stalls > before->alloc_stalls)
		return true;
	return rate(before->direct_scans, now->direct_scans, ms) > DIRECT_PER_S ||
	       rate(before->direct_reclaims, now->direct_reclaims, ms) > DIRECT_PER_S ||
	       rate(before->major_faults, now->major_faults, ms) > FAULTS_PER_S ||
	       rate(before->refaults, now->refaults, ms) > FAULTS_PER_S;
}

static void hold(struct stoploss *stoploss, u64 now_ms, const struct stoploss_guest *guest)
{
	bool inflated = guest->inflating_ms && stoploss->from_ms >= guest->inflating_ms;
	bool again = stoploss->hold_ms && now_ms < stoploss->hold_until_ms + stoploss->hold_ms;

	/* Pain during a hold is still that of the last inflation. */
	if (now_ms < stoploss->hold_until_ms)
		return;
	if (!inflated) {
		stoploss->hold_until_ms = now_ms + HOLD_OTHER_MS;
		return;
	}
	stoploss->hold_ms = again ? MIN(stoploss->hold_ms * 2, HOLD_MAX_MS) : HOLD_FIRST_MS;
	stoploss->hold_until_ms = now_ms + stoploss->hold_ms;
	stoploss->active = guest->active;
}

/* New figures; those of a moment ago, looked at again, say nothing new. */
static void learn(struct stoploss *stoploss, const struct guest_signs *signs, u64 told_ms)
{
	if (stoploss->told_ms && told_ms < stoploss->told_ms + NEWS_MS)
		return;
	stoploss->hurts =
		stoploss->told_ms && hurts(&stoploss->before, signs, told_ms - stoploss->told_ms);
	stoploss->before = *signs;
	stoploss->from_ms = stoploss->told_ms;
	stoploss->told_ms = told_ms;
}

bool stoploss_look(struct stoploss *stoploss, const struct guest_signs *signs, u64 now_ms,
		   const struct stoploss_guest *guest)
{
	if (signs->age_ms <= MIN(STOPLOSS_FRESH_MS, now_ms)) {
		learn(stoploss, signs, now_ms - signs->age_ms);
	} else {
		stoploss->told_ms = 0;
		stoploss->hurts = false;
	}
	if (stoploss->hurts)
		hold(stoploss, now_ms, guest);
	else if (guest->active < stoploss->active / 2)
		stoploss->hold_until_ms = stoploss->active = 0;
	return now_ms < stoploss->hold_until_ms;
}
