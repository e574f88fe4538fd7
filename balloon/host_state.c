/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/host_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PCT_MAX 10000

static const char *const names[HOST_STATES] = {
	[HOST_HIGH] = "high", [HOST_CLEAR] = "clear", [HOST_SOFT] = "soft",
	[HOST_HARD] = "hard", [HOST_LOW] = "low",
};

const char *host_state_name(enum host_state state)
{
	return state < HOST_STATES ? names[state] : "unknown";
}

u64 host_state_level(const struct host_levels *levels, enum host_state state)
{
	return (u64)((unsigned __int128)levels->min_free * levels->pct[state] / 100);
}

enum host_state host_state_next(enum host_state now, u64 free, const struct host_levels *levels)
{
	while (now < HOST_LOW && free < host_state_level(levels, now + 1))
		now++;
	while (now > HOST_HIGH && free >= host_state_level(levels, now - 1))
		now--;
	return now;
}

int host_state_parse(const char *text, u32 pct[HOST_STATES])
{
	u32 read[HOST_STATES];
	char *end;

	for (u32 i = 0; i < HOST_STATES; i++) {
		unsigned long value;

		text += strspn(text, " \t");
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = strtoul(text, &end, 10);
		if (!value || value > PCT_MAX || (i && value >= read[i - 1]))
			return -EINVAL;
		read[i] = (u32)value;
		text = end;
	}
	if (text[strspn(text, " \t\n")])
		return -EINVAL;
	memcpy(pct, read, sizeof(read));
	return 0;
}
