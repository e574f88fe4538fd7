// SPDX-License-Identifier: Apache-2.0
/* Versions come first in the vCPU's share, 1024 to a page; the pages themselves follow, then the cache's. */
#include "guest-driver/pages.h"
#include "guest-driver/random.h"

#define VERSIONS_PER_PAGE (PAGE_SIZE / sizeof(u32))
#define FEWEST_PAGES	  4

bool pages_prepare(struct guest_cpu *cpu)
{
	struct pages *pages = &cpu->pages;
	u64 share = heap_left(&cpu->heap) / PAGE_SIZE;
	u64 cached = share * cpu->args.cache_percent / 100;
	u64 cache_pages, tables;

	/* Less its own tables, one page in 300. */
	cached -= MIN(cached, cached / 256 + 1);
	cache_pages = cached ? cache_bytes(cached) / PAGE_SIZE : 0;
	share -= cache_pages;
	tables = (share + VERSIONS_PER_PAGE) / (VERSIONS_PER_PAGE + 1);
	if (share < tables + FEWEST_PAGES)
		return false;
	pages->count = share - tables;
	pages->versions = guest_pointer(cpu, heap_take(&cpu->heap, tables * PAGE_SIZE));
	pages->base = guest_pointer(cpu, heap_take(&cpu->heap, pages->count * PAGE_SIZE));
	if (cached)
		cache_init(&pages->cache,
			   guest_pointer(cpu, heap_take(&cpu->heap, cache_pages * PAGE_SIZE)),
			   cached);
	pages->cursor = 0;
	pages->phase_ends = 0;
	cpu->units = pages->count + cached;
	return true;
}

static void write_page(struct guest_cpu *cpu, u64 page, u32 version)
{
	content_write(&cpu->content, cpu->pages.base + page * PAGE_SIZE, PAGE_SIZE,
		      guest_piece(cpu, page), version);
	cpu->pages.versions[page] = version;
}

static bool is_cached(const struct guest_cpu *cpu, u64 page)
{
	return page >= cpu->pages.count;
}

/* Where a unit of the cache is, its content made again if it had gone. It has one version, as a file that
 * nobody writes. */
static const u8 *cached_page(struct guest_cpu *cpu, u64 page)
{
	bool made;
	u8 *where = cache_touch(cpu, (u32)(page - cpu->pages.count), &made);

	if (made)
		content_write(&cpu->content, where, PAGE_SIZE, guest_piece(cpu, page), 1);
	return where;
}

void pages_fill(struct guest_cpu *cpu, u64 page)
{
	if (is_cached(cpu, page))
		cached_page(cpu, page);
	else
		write_page(cpu, page, 1);
}

void pages_verify(struct guest_cpu *cpu, u64 page)
{
	bool cached = is_cached(cpu, page);
	const u8 *where = cached ? cached_page(cpu, page) : cpu->pages.base + page * PAGE_SIZE;
	u32 version = cached ? 1 : cpu->pages.versions[page];

	if (content_matches(&cpu->content, where, PAGE_SIZE, guest_piece(cpu, page), version))
		guest_verified(cpu, PAGE_SIZE);
	else
		guest_failed(cpu, where, guest_diagnose(cpu, where, PAGE_SIZE, page, version), page,
			     version);
}

void pages_access(struct guest_cpu *cpu, u64 page)
{
	pages_verify(cpu, page);
	if (!is_cached(cpu, page) && random_chance(&cpu->random, cpu->args.write_percent))
		pages_rewrite(cpu, page);
}

void pages_rewrite(struct guest_cpu *cpu, u64 page)
{
	write_page(cpu, page, cpu->pages.versions[page] + 1);
	cpu->writes++;
}

void pages_audit(struct guest_cpu *cpu)
{
	u64 filled = MIN(cpu->filled, cpu->pages.count), sum = 0;

	for (u64 page = 0; page < filled; page++)
		sum += cpu->pages.versions[page];
	if (sum != filled + cpu->writes)
		guest_failed(cpu, cpu->pages.versions, "versions do not add up to the writes made",
			     filled, 0);
}
