// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/cache.h"
#include "guest-driver/guest.h"
#include "guest-driver/memory.h"
#include "guest-driver/stats.h"

/* Pages moved in one call: some 20 us. */
#define TRADE_MAX  EXCHANGE_RING
#define FLOOR_PART 16

static u64 table_bytes(u64 units)
{
	return ALIGN_UP(units * (sizeof(struct cache_page) + sizeof(u32) + sizeof(u8)), PAGE_SIZE);
}

u64 cache_bytes(u64 units)
{
	return table_bytes(units) + units * PAGE_SIZE;
}

static void push_list(struct cache *cache, u32 *list, u32 page)
{
	cache->pages[page] = (struct cache_page){.older = *list};
	*list = page + 1;
}

static u32 pop_list(struct cache *cache, u32 *list)
{
	u32 page = *list - 1;

	*list = cache->pages[page].older;
	return page;
}

void cache_init(struct cache *cache, u8 *memory, u64 units)
{
	u64 tables = table_bytes(units);

	memset(memory, 0, tables);
	*cache = (struct cache){.count = (u32)units, .base = memory + tables};
	cache->pages = (struct cache_page *)memory;
	cache->page_of = (u32 *)(cache->pages + units);
	cache->made = (u8 *)(cache->page_of + units);
	cache->floor = (u32)(units / FLOOR_PART + 1);
	for (u64 page = units; page > 0; page--)
		push_list(cache, &cache->free, (u32)(page - 1));
	cache->spares = (u32)units;
}

static void unlink_page(struct cache *cache, u32 page)
{
	struct cache_page *at = &cache->pages[page];

	*(at->newer ? &cache->pages[at->newer - 1].older : &cache->newest) = at->older;
	*(at->older ? &cache->pages[at->older - 1].newer : &cache->oldest) = at->newer;
}

static void link_newest(struct cache *cache, u32 page)
{
	struct cache_page *at = &cache->pages[page];

	at->newer = 0;
	at->older = cache->newest;
	*(cache->newest ? &cache->pages[cache->newest - 1].newer : &cache->oldest) = page + 1;
	cache->newest = page + 1;
}

/* Takes the page of what was used least recently. */
static u32 take_oldest(struct cache *cache)
{
	u32 page = cache->oldest - 1;

	unlink_page(cache, page);
	cache->page_of[cache->pages[page].unit - 1] = 0;
	cache->pages[page].unit = 0;
	cache->resident--;
	return page;
}

static u32 take_page(struct guest_cpu *cpu)
{
	struct cache *cache = &cpu->pages.cache;

	if (cache->free) {
		cache->spares--;
		return pop_list(cache, &cache->free);
	}
	stats_add(cpu->exchange->evicted, 1);
	return take_oldest(cache);
}

static void publish(struct guest_cpu *cpu)
{
	const struct cache *cache = &cpu->pages.cache;
	struct exchange *exchange = cpu->exchange;
	u32 here = cache->resident + cache->spares;

	stats_set(exchange->held, cache->held);
	stats_set(exchange->spare, here > cache->floor ? here - cache->floor : 0);
	stats_set(exchange->resident, cache->resident);
	stats_set(exchange->free, cache->spares);
}

u8 *cache_touch(struct guest_cpu *cpu, u32 unit, bool *made)
{
	struct cache *cache = &cpu->pages.cache;
	u32 page = cache->page_of[unit];

	*made = !page;
	if (page) {
		page--;
		unlink_page(cache, page);
	} else {
		page = take_page(cpu);
		cache->page_of[unit] = page + 1;
		cache->pages[page].unit = unit + 1;
		cache->resident++;
		if (cache->made[unit])
			stats_add(cpu->exchange->faults, 1);
		else
			stats_add(cpu->exchange->first, 1);
		cache->made[unit] = 1;
		publish(cpu);
	}
	link_newest(cache, page);
	return cache->base + (u64)page * PAGE_SIZE;
}

static u32 page_number(const struct guest_cpu *cpu, u32 page)
{
	return (u32)(guest_address(cpu, cpu->pages.cache.base) / PAGE_SIZE) + page;
}

/* Pages that are free first, then the oldest. False: no more. */
static bool give_one(struct guest_cpu *cpu)
{
	struct cache *cache = &cpu->pages.cache;
	struct exchange_ring *ring = &cpu->exchange->give;
	u32 page;

	if (cache->resident + cache->spares <= cache->floor ||
	    ring->written - __atomic_load_n(&ring->read, __ATOMIC_ACQUIRE) == EXCHANGE_RING)
		return false;
	if (cache->free) {
		cache->spares--;
		page = pop_list(cache, &cache->free);
	} else {
		page = take_oldest(cache);
	}
	push_list(cache, &cache->ballooned, page);
	cache->held++;
	stats_add(cpu->exchange->given, 1);
	return exchange_put(ring, page_number(cpu, page));
}

static bool reclaim_one(struct guest_cpu *cpu)
{
	struct cache *cache = &cpu->pages.cache;

	if (!cache->ballooned ||
	    !exchange_put(&cpu->exchange->reclaim, page_number(cpu, cache->ballooned - 1)))
		return false;
	pop_list(cache, &cache->ballooned);
	cache->held--;
	return true;
}

void cache_trade(struct guest_cpu *cpu)
{
	struct exchange *exchange = cpu->exchange;
	struct cache *cache = &cpu->pages.cache;
	u32 wanted = __atomic_load_n(&exchange->wanted, __ATOMIC_RELAXED);
	u32 first = page_number(cpu, 0), page;

	while (exchange_get(&exchange->back, &page)) {
		push_list(cache, &cache->free, page - first);
		cache->spares++;
	}
	for (u32 i = 0; i < TRADE_MAX && cache->held < wanted; i++)
		if (!give_one(cpu))
			break;
	for (u32 i = 0; i < TRADE_MAX && cache->held > wanted; i++)
		if (!reclaim_one(cpu))
			break;
	publish(cpu);
}
