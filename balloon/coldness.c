/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/coldness.h"

#define MINUTE_MS	      60000U
#define PARTS		      100000U /* per mille of a per cent */
#define CLAMP(x, least, most) MIN(MAX(x, least), most)

static void judge(struct coldness *coldness, const struct coldness_goal *goal, u64 came_back,
		  u64 working_set, u64 elapsed_ms)
{
	unsigned __int128 rate = (unsigned __int128)came_back * PARTS * MINUTE_MS /
				 MAX(working_set, 1UL) / elapsed_ms;

	coldness->promotion = rate > UINT32_MAX ? UINT32_MAX : (u32)rate;
	if (coldness->promotion > goal->promotion_per_mille)
		coldness->age_ms *= 2;
	else if (coldness->promotion < goal->promotion_per_mille / 2)
		coldness->age_ms -= coldness->age_ms / 8;
}

u64 coldness_follow(struct coldness *coldness, const struct coldness_goal *goal, u64 now_ms,
		    u64 refaulted, u64 working_set, bool is_short)
{
	u64 least = goal->age_s * 1000UL, most = MAX(COLDNESS_AGE_MAX_S * 1000UL, least);

	coldness->was_short |= is_short;
	if (!coldness->age_ms) {
		*coldness = (struct coldness){
			.age_ms = least, .minute_ms = now_ms, .refaulted = refaulted};
	} else if (now_ms - coldness->minute_ms >= MINUTE_MS) {
		if (!coldness->was_short)
			judge(coldness, goal, refaulted - coldness->refaulted, working_set,
			      now_ms - coldness->minute_ms);
		coldness->was_short = is_short;
		coldness->minute_ms = now_ms;
		coldness->refaulted = refaulted;
	}
	coldness->age_ms = CLAMP(coldness->age_ms, least, most);
	return coldness->age_ms;
}
