// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/poison.h"
#include "guest-driver/guest.h"

#define WORDS (PAGE_SIZE / sizeof(u32))
/* In complaints: a unit of no workload. */
#define POISON_UNIT (1ULL << 41)

void poison_fill(const struct guest_cpu *cpu, void *page)
{
	u32 *words = page;

	for (u32 i = 0; i < WORDS && cpu->args.poisons; i++)
		words[i] = cpu->args.poison;
}

void poison_check(struct guest_cpu *cpu, const void *page)
{
	const u32 *words = page;
	u32 other = 0;

	if (!cpu->args.poisons)
		return;
	for (u32 i = 0; i < WORDS; i++)
		other |= words[i] ^ cpu->args.poison;
	if (other)
		guest_failed(cpu, page, "free page: its poison is gone", POISON_UNIT, 0);
	else
		guest_verified(cpu, PAGE_SIZE);
}
