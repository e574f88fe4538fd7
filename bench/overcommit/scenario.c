/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody verifies at the end: what is measured is the work, and each operation checks what it reads.
 * Guests begin when all are filled, and one that is done holds its memory until all are, so that the
 * pressure is what the overcommit says, all the time.
 */
#include "bench/overcommit/scenario.h"

#include <string.h>

#include "lib/types.h"

#define LOSS_FAULT                                                                                      \
	"A page that comes back alone costs a vCPU the way to a thread of the manager and back, 50 to " \
	"110 us on nested KVM, most of it waking; the kernel decompresses inside the fault, in 17 to "  \
	"31. Groups and readahead make up for it where there is a pattern; at random there is none."
#define LOSS_SHARE                                                                                                              \
	"A page that was shared is mapped anew, one fault each, which is most of what an operation takes here. Ours have been " \
	"shared, nearly all, before the guests begin; the kernel shares what comes along, and differs by two times from round " \
	"to round."
#define LOSS_MOVE                                                                                        \
	"Memory moves to where it is used page by page, each a fault through the manager (50 to 110 "    \
	"us on nested KVM, against 17 to 31), and the policy gives a guest more only after it has seen " \
	"it need more, some quarters of a second."
#define LOSS_DISK                                                                                       \
	"Noise never enters our pool, so each page that comes back is read from disk; zram keeps some " \
	"of it in memory as it is, and has it back without a read."

#define PAGES "fill=90% zero=5% same=5% random=10% "

const struct scenario scenarios[] = {
	{"idle-fleet",
	 "Six guests hold memory and hardly touch it, two serve records.",
	 false,
	 LOSS_MOVE,
	 {{"idle", 6, "idle", PAGES, 0}, {"busy", 2, "kv", "fill=90% mix=B", 1500000}}},
	{"clones",
	 "Eight guests hold the same data, read at random and write little.",
	 false,
	 LOSS_SHARE,
	 {{"clone", 8, "fill", "fill=90% zero=0 same=0 random=0 common=90% write=2%", 20000}}},
	{"kv-a",
	 "Eight key-value stores, zipfian keys, half of the operations write.",
	 false,
	 LOSS_FAULT,
	 {{"store", 8, "kv", "fill=90% mix=A", 60000}}},
	{"kv-b",
	 "Eight key-value stores, zipfian keys, 5 % of the operations write.",
	 false,
	 LOSS_FAULT,
	 {{"store", 8, "kv", "fill=90% mix=B", 60000}}},
	{"kv-c",
	 "Eight key-value stores, zipfian keys, read only.",
	 false,
	 LOSS_FAULT,
	 {{"store", 8, "kv", "fill=90% mix=C", 60000}}},
	{"sweep",
	 "Eight guests pass over their memory in order, the worst case for a cache.",
	 false,
	 LOSS_FAULT,
	 {{"sweep", 8, "sweep", PAGES "write=10%", 40000}}},
	{"phase",
	 "Working sets of a quarter of each guest's memory that move.",
	 false,
	 LOSS_MOVE,
	 {{"phase", 8, "phase", PAGES "write=10% phase-size=25% phase-ops=15000", 60000}}},
	{"storm",
	 "Eight guests start at once, fill their memory, and each operation writes; from the start.",
	 true,
	 LOSS_FAULT,
	 {{"storm", 8, "fill", PAGES "write=100%", 15000}}},
	{"incompressible",
	 "Eight guests whose memory no compression makes smaller.",
	 false,
	 LOSS_DISK,
	 {{"noise", 8, "fill", "fill=90% zero=0 same=0 random=100% write=20%", 8000}}},
};
const u32 scenario_count = ARRAY_SIZE(scenarios);

u32 scenario_guests(const struct scenario *scenario)
{
	u32 guests = 0;

	for (u32 i = 0; i < SCENARIO_PARTS; i++)
		guests += scenario->parts[i].count;
	return guests;
}

u64 scenario_ops(const struct scenario_part *part, const struct scale *scale)
{
	u64 ops = (u64)part->ops * scale->work_percent / 100;

	return part->ops ? MAX(ops, 1UL) : 0;
}

void scenario_write(FILE *stream, const struct scenario *scenario, const struct scale *scale)
{
	for (u32 i = 0; i < SCENARIO_PARTS && scenario->parts[i].count; i++) {
		const struct scenario_part *part = &scenario->parts[i];

		fprintf(stream,
			"\n[guest %s]\ncount = %u\nmemory = %llu\nworkload = %s\n"
			"workload-args = %s verify=no begin=together after=hold ops=%llu\nseed = %u\n"
			"salt = bench\n",
			part->name, part->count, (unsigned long long)scale->guest_bytes,
			part->workload, part->args, (unsigned long long)scenario_ops(part, scale),
			1 + 100 * i);
		if (scale->data)
			fprintf(stream, "data = %s\n", scale->data);
	}
}

const struct scenario *scenario_find(const char *name)
{
	for (u32 i = 0; i < scenario_count; i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	return NULL;
}
