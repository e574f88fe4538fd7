/* SPDX-License-Identifier: Apache-2.0 */
/* The nano guest's free memory and page cache, and how they give. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest-driver/guest.h"

#define RAM	   (16 * MiB)
#define POOL_START (4 * MiB + 64 * KiB)
#define UNITS	   200U

static struct guest_cpu cpu;
static struct guest_boot boot;
static struct exchange exchange;
static u32 pages[RAM / PAGE_SIZE];

static void setup(void)
{
	memset(&cpu, 0, sizeof(cpu));
	memset(&exchange, 0, sizeof(exchange));
	boot = (struct guest_boot){.ram_bytes = RAM, .vcpus = 1};
	cpu.ram = (u64)(uintptr_t)aligned_alloc(PAGE_SIZE, RAM);
	memset((void *)cpu.ram, 0, RAM);
	cpu.boot = &boot;
	cpu.exchange = &exchange;
}

static void teardown(void)
{
	free((void *)cpu.ram);
}

TestSuite(guest_frames, .init = setup, .fini = teardown);

static struct frames *make_frames(void)
{
	frames_init(&cpu.balloon.frames, &cpu, POOL_START);
	return &cpu.balloon.frames;
}

Test(guest_frames, whole_blocks_go_first)
{
	struct frames *frames = make_frames();
	u32 count = frames_inflate(frames, pages, REGION_PAGES + 10);

	cr_expect_eq(count, REGION_PAGES + 10);
	cr_expect_eq(pages[0] % REGION_PAGES, 0);
	for (u32 i = 1; i < REGION_PAGES; i++)
		cr_expect_eq(pages[i], pages[0] + i);
	cr_expect_eq(frames->have[FRAME_BALLOONED], REGION_PAGES + 10);
}

Test(guest_frames, scattered_frames_have_no_neighbours_and_none_is_missing)
{
	struct frames *frames;
	u32 count;

	cpu.args.scatter = 1;
	frames = make_frames();
	count = frames_inflate(frames, pages, frames->count);
	cr_expect_eq(count, frames->count);
	cr_expect_eq(frames->have[FRAME_BALLOONED], frames->count, "each once");
	for (u32 i = 1; i < count; i++)
		cr_assert_neq(pages[i], pages[i - 1] + 1);
}

Test(guest_frames, block_with_a_used_page_is_no_block)
{
	struct frames *frames = make_frames();
	u32 first;

	frames_inflate(frames, pages, REGION_PAGES);
	first = pages[0];
	frames_set(frames, (u32)(first - frames->first), FRAME_USED);
	for (u32 i = 1; i < REGION_PAGES; i++)
		frames_set(frames, (u32)(first + i - frames->first), FRAME_CLEAN);
	cr_expect_eq(frames_inflate(frames, pages, REGION_PAGES), REGION_PAGES);
	cr_expect_eq(pages[0], first + REGION_PAGES);
}

Test(guest_frames, reserve_is_not_spare)
{
	struct frames *frames = make_frames();

	cr_expect_eq(frames_spare(frames), frames->count - frames->reserve);
	frames_inflate(frames, pages, frames_spare(frames));
	cr_expect_eq(frames_spare(frames), 0);
	cr_expect_eq(frames_free(frames), frames->reserve);
}

Test(guest_frames, only_dirty_free_blocks_are_reported)
{
	struct frames *frames = make_frames();

	cr_expect_eq(frames_report(frames, pages, 16), 0, "nothing was written");
	frames_touch(frames, &cpu);
	cr_expect_eq(frames_report(frames, pages, 2), 2);
	cr_expect_eq(frames->have[FRAME_REPORTING], 2 * REGION_PAGES);
	cr_expect_eq(frames_report(frames, pages, 16), 3, "and not those on their way");
}

static struct cache *make_cache(void)
{
	cache_init(&cpu.pages.cache, guest_pointer(&cpu, 2 * MiB), UNITS);
	return &cpu.pages.cache;
}

static bool touch(u32 unit)
{
	bool made;

	cache_touch(&cpu, unit, &made);
	return made;
}

Test(guest_frames, cache_gives_what_was_used_least_recently)
{
	make_cache();
	for (u32 unit = 0; unit < UNITS; unit++)
		cr_assert(touch(unit));
	cr_assert_not(touch(0), "is young again");
	exchange.wanted = 50;
	cache_trade(&cpu);
	cr_expect_eq(exchange.held, 50);
	cr_expect_eq(exchange_waiting(&exchange.give), 50);
	cr_expect_not(touch(0));
	cr_expect_not(touch(51));
	cr_expect_eq(exchange.faults, 0);
	cr_expect(touch(1), "went first");
	cr_expect_eq(exchange.faults, 1);
	cr_expect_eq(exchange.evicted, 1, "in the place of another");
}

Test(guest_frames, cache_keeps_its_floor)
{
	struct cache *cache = make_cache();

	for (u32 unit = 0; unit < UNITS; unit++)
		touch(unit);
	exchange.wanted = UNITS;
	cache_trade(&cpu);
	cr_expect_eq(exchange.held, UNITS - cache->floor);
	cr_expect_eq(exchange.spare, 0);
	for (u32 unit = 0; unit < UNITS; unit++)
		touch(unit);
	cr_expect_eq(exchange.resident, cache->floor);
}

Test(guest_frames, pages_given_come_back_free)
{
	u32 page;

	make_cache();
	for (u32 unit = 0; unit < UNITS; unit++)
		touch(unit);
	exchange.wanted = 10;
	cache_trade(&cpu);
	exchange.wanted = 0;
	cache_trade(&cpu);
	cr_expect_eq(exchange.held, 0);
	cr_expect_eq(exchange_waiting(&exchange.reclaim), 10);
	while (exchange_get(&exchange.reclaim, &page))
		cr_assert(exchange_put(&exchange.back, page));
	cache_trade(&cpu);
	cr_expect_eq(exchange.free, 10);
	cr_expect(touch(0));
	cr_expect_eq(exchange.evicted, 0, "there was a free page for it");
}

Test(guest_frames, mailbox_holds_as_much_as_it_says)
{
	u32 page;

	for (u32 i = 0; i < EXCHANGE_RING; i++)
		cr_assert(exchange_put(&exchange.give, i));
	cr_expect_not(exchange_put(&exchange.give, 9));
	cr_expect(exchange_get(&exchange.give, &page));
	cr_expect_eq(page, 0);
	cr_expect(exchange_put(&exchange.give, 9));
}
