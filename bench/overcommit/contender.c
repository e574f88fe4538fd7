/* SPDX-License-Identifier: Apache-2.0 */
/* The table of contenders; the first three stand where contender.h says. */
#include "bench/overcommit/contender.h"

#include <string.h>

const struct contender contenders[] = {
	[NONE] = {.name = "none",
		  .summary = "enough memory for all: the upper limit",
		  .kind = CONTENDER_NONE},
	[KERNEL] = {.name = "kernel",
		    .summary = "the kernel's KSM, swap on zram (lz4) and a swap file",
		    .kind = CONTENDER_KERNEL},
	[BALLAST] = {.name = "ballast",
		     .summary = "Ballast, everything on",
		     .kind = CONTENDER_BALLAST},
	{.name = "no-sharing",
	 .summary = "Ballast without sharing of resident pages",
	 .kind = CONTENDER_BALLAST,
	 .variant = true,
	 .ksm = "run = 0"},
	{.name = "no-dedup",
	 .summary = "Ballast without sharing, of resident or of stored pages",
	 .kind = CONTENDER_BALLAST,
	 .variant = true,
	 .ksm = "run = 0\nshare-before-swap = no"},
	{.name = "no-pool",
	 .summary = "Ballast without the compressed pool: all goes to disk",
	 .kind = CONTENDER_BALLAST,
	 .variant = true,
	 .host = "pool-percent = 0"},
	{.name = "no-huge",
	 .summary = "Ballast without 2 MiB pages",
	 .kind = CONTENDER_BALLAST,
	 .variant = true,
	 .host = "huge-pages = no"},
	{.name = "no-policy",
	 .summary = "Ballast without goals and balloons",
	 .kind = CONTENDER_BALLAST,
	 .variant = true,
	 .policy = "active = no"},
	{.name = "no-turns",
	 .summary = "Ballast without turns of guests that thrash",
	 .kind = CONTENDER_BALLAST,
	 .variant = true,
	 .policy = "turns = no"},
};
const u32 contender_count = ARRAY_SIZE(contenders);

s32 contender_find(const char *name)
{
	for (u32 i = 0; i < contender_count; i++)
		if (!strcmp(contenders[i].name, name))
			return (s32)i;
	return -1;
}
