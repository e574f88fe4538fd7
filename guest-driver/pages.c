// SPDX-License-Identifier: Apache-2.0
/* Versions come first in the vCPU's share, 1024 to a page; the pages themselves follow. */
#include "guest-driver/pages.h"
#include "guest-driver/random.h"

#define VERSIONS_PER_PAGE (PAGE_SIZE / sizeof(u32))
#define FEWEST_PAGES	  4

bool pages_prepare(struct guest_cpu *cpu)
{
	struct pages *pages = &cpu->pages;
	u64 share = heap_left(&cpu->heap) / PAGE_SIZE;
	u64 tables = (share + VERSIONS_PER_PAGE) / (VERSIONS_PER_PAGE + 1);

	if (share < tables + FEWEST_PAGES)
		return false;
	pages->count = share - tables;
	pages->versions = guest_pointer(cpu, heap_take(&cpu->heap, tables * PAGE_SIZE));
	pages->base = guest_pointer(cpu, heap_take(&cpu->heap, pages->count * PAGE_SIZE));
	pages->cursor = 0;
	pages->phase_ends = 0;
	cpu->units = pages->count;
	return true;
}

static void write_page(struct guest_cpu *cpu, u64 page, u32 version)
{
	content_write(&cpu->content, cpu->pages.base + page * PAGE_SIZE, PAGE_SIZE,
		      guest_piece(cpu, page), version);
	cpu->pages.versions[page] = version;
}

void pages_fill(struct guest_cpu *cpu, u64 page)
{
	write_page(cpu, page, 1);
}

void pages_verify(struct guest_cpu *cpu, u64 page)
{
	const u8 *where = cpu->pages.base + page * PAGE_SIZE;
	u32 version = cpu->pages.versions[page];

	if (content_matches(&cpu->content, where, PAGE_SIZE, guest_piece(cpu, page), version))
		guest_verified(cpu, PAGE_SIZE);
	else
		guest_failed(cpu, where, guest_diagnose(cpu, where, PAGE_SIZE, page, version), page,
			     version);
}

void pages_access(struct guest_cpu *cpu, u64 page)
{
	pages_verify(cpu, page);
	if (!random_chance(&cpu->random, cpu->args.write_percent))
		return;
	write_page(cpu, page, cpu->pages.versions[page] + 1);
	cpu->writes++;
}

void pages_audit(struct guest_cpu *cpu)
{
	u64 sum = 0;

	for (u64 page = 0; page < cpu->filled; page++)
		sum += cpu->pages.versions[page];
	if (sum != cpu->filled + cpu->writes)
		guest_failed(cpu, cpu->pages.versions, "versions do not add up to the writes made",
			     cpu->filled, 0);
}
