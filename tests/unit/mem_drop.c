/* SPDX-License-Identifier: Apache-2.0 */
/* Pages a guest gives up or calls free: dropped from wherever they are, and the memory is back. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "mem/drop.h"
#include "tests/unit/mem_rig.h"

#define PAGES (4 * MiB / PAGE_SIZE)

static void start(struct mem_rig *rig, bool small)
{
	struct mem_guest_options options = {.bytes = 4 * MiB, .small = small};

	mem_rig_start_with(rig, &options, 64 * MiB, true);
}

Test(mem_drop, ballooned_pages_give_their_memory_back)
{
	struct mem_rig rig;
	u64 before;

	start(&rig, true);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	before = rig.memory.budget.used;
	cr_expect_eq(drop_pages(rig.guest.space, 100, 50, PAGE_BALLOONED), 50);
	cr_expect_eq(before - rig.memory.budget.used, 50 * PAGE_SIZE);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), PAGES - 50);
	cr_expect_eq(page_table_count(&rig.guest.space->table, PAGE_BALLOONED), 50);
	mem_rig_check_counters(&rig);
	for (u64 i = 0; i < PAGES; i++)
		if (i < 100 || i >= 150)
			cr_expect(mem_guest_check(&rig.guest, i, 1));
	mem_rig_stop(&rig);
}

Test(mem_drop, whole_region_goes_in_one_stroke)
{
	struct mem_rig rig;

	start(&rig, false);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(drop_pages(rig.guest.space, 0, REGION_PAGES, PAGE_BALLOONED), REGION_PAGES);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), PAGES - REGION_PAGES);
	cr_expect_eq(rig.guest.space->regions[0].mapping, REGION_ARMED);
	mem_rig_check_counters(&rig);
	cr_expect_eq(drop_return(rig.guest.space, 0, PAGES), REGION_PAGES);
	cr_expect(mem_guest_check(&rig.guest, 7, 0), "reads zero");
	mem_guest_settle(&rig.guest);
	cr_expect_neq(mem_guest_state(&rig.guest, 8), PAGE_BALLOONED);
	mem_rig_stop(&rig);
}

Test(mem_drop, stored_pages_are_forgotten)
{
	struct mem_rig rig;

	start(&rig, true);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_evict_all(&rig.guest);
	cr_assert_gt(rig.pool.stored + rig.disk.stored, 0);
	cr_expect_gt(drop_pages(rig.guest.space, 0, PAGES, PAGE_ZERO), 0);
	cr_expect_eq(rig.pool.stored + rig.disk.stored, 0);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 0), 0, "all of it is zero now");
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_drop, touched_without_asking_a_ballooned_page_is_zero)
{
	struct mem_rig rig;

	start(&rig, true);
	mem_guest_write_all(&rig.guest, 1);
	drop_pages(rig.guest.space, 0, 32, PAGE_BALLOONED);
	cr_expect(mem_guest_check(&rig.guest, 5, 0));
	mem_guest_settle(&rig.guest);
	cr_expect_eq(mem_guest_state(&rig.guest, 5), PAGE_RESIDENT);
	cr_expect_eq(mem_guest_state(&rig.guest, 6), PAGE_BALLOONED,
		     "but none that was not touched");
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_drop, twice_is_once)
{
	struct mem_rig rig;

	start(&rig, true);
	mem_guest_write_all(&rig.guest, 1);
	cr_expect_eq(drop_pages(rig.guest.space, 3, 4, PAGE_BALLOONED), 4);
	cr_expect_eq(drop_pages(rig.guest.space, 0, 10, PAGE_BALLOONED), 6);
	cr_expect_eq(drop_pages(rig.guest.space, 0, 10, PAGE_ZERO), 0, "they stay ballooned");
	cr_expect_eq(drop_return(rig.guest.space, 0, 20), 10);
	cr_expect_eq(drop_return(rig.guest.space, 0, 20), 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

/* A guest that gives up pages of its own and takes them back, all the time. */
struct giver {
	struct mem_guest *guest;
	u64 first, count;
	_Atomic bool *stop;
	u64 stale;
	_Atomic u64 rounds;
};

static void *give_and_take(void *argument)
{
	struct giver *giver = argument;
	struct space *space = giver->guest->space;
	u64 state = giver->first + 1;

	while (!*giver->stop) {
		u64 run = 1 + mem_random(&state) % giver->count;
		u64 first = giver->first + mem_random(&state) % (giver->count - run + 1);
		u32 version = 1 + (u32)(mem_random(&state) % 1000);

		for (u64 i = first; i < first + run; i++)
			mem_guest_write(giver->guest, i, version);
		for (u64 i = first; i < first + run; i++)
			giver->stale += !mem_guest_check(giver->guest, i, version);
		drop_pages(space, first, run, giver->rounds % 2 ? PAGE_ZERO : PAGE_BALLOONED);
		drop_return(space, first, run);
		for (u64 i = first; i < first + run; i += 7)
			giver->stale += !mem_guest_check(giver->guest, i, 0);
		drop_pages(space, first, run, PAGE_ZERO);
		giver->rounds++;
	}
	return NULL;
}

static void *keep_evicting(void *argument)
{
	struct giver *giver = argument;

	while (!*giver->stop)
		for (u64 region = 0; region < PAGES; region += REGION_PAGES)
			evict_pages(giver->guest->space, region, REGION_PAGES, UINT32_MAX);
	return NULL;
}

/* Three guests' threads, neighbours in every group's region, with an evictor at work: what one gives up
 * never costs another anything, and what it wrote before is gone for good. */
Test(mem_drop, guests_verify_while_pages_are_given_up_and_evicted, .timeout = 120)
{
	_Atomic bool stop = false;
	struct giver givers[3];
	pthread_t threads[4];
	struct mem_rig rig;
	struct giver evictor;

	start(&rig, true);
	evictor = (struct giver){.guest = &rig.guest, .stop = &stop};
	for (u32 i = 0; i < 3; i++) {
		givers[i] = (struct giver){&rig.guest, 40 + i * 300, 300, &stop, 0, 0};
		pthread_create(&threads[i], NULL, give_and_take, &givers[i]);
	}
	pthread_create(&threads[3], NULL, keep_evicting, &evictor);
	for (u32 i = 0; i < 3; i++)
		while (givers[i].rounds < 30)
			usleep(1000);
	stop = true;
	for (u32 i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (u32 i = 0; i < 3; i++)
		cr_expect_eq(givers[i].stale, 0, "%lu of %lu rounds", givers[i].stale,
			     givers[i].rounds);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_drop, page_called_free_twice_is_dropped)
{
	struct mem_rig rig;

	start(&rig, true);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(drop_hinted(rig.guest.space, 0, 64, 1), 0);
	cr_expect_eq(drop_hinted(rig.guest.space, 0, 64, 1), 0, "the same question");
	cr_expect(mem_guest_check(&rig.guest, 3, 1), "reading does no harm");
	cr_expect_eq(drop_hinted(rig.guest.space, 0, 64, 2), 64);
	cr_expect_eq(mem_guest_state(&rig.guest, 3), PAGE_ZERO);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

/* A page is called free, written, and called free again. Returns whether the write is there. */
static bool use_between_hints(bool small)
{
	struct mem_rig rig;
	bool kept;

	start(&rig, small);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	drop_hinted(rig.guest.space, 0, REGION_PAGES, 1);
	mem_guest_write(&rig.guest, 3, 2);
	drop_hinted(rig.guest.space, 0, REGION_PAGES, 2);
	kept = mem_guest_check(&rig.guest, 3, 2);
	cr_expect_eq(mem_guest_state(&rig.guest, 100), PAGE_ZERO);
	if (kept)
		mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
	return kept;
}

Test(mem_drop, page_used_after_it_was_called_free_is_kept)
{
	cr_expect(use_between_hints(true));
	cr_expect(use_between_hints(false), "of a region that was whole");
}

/* What protecting it is for. */
Test(mem_drop, without_write_protection_it_is_lost)
{
	drop_test_skip_protect = true;
	cr_expect_not(use_between_hints(true));
	drop_test_skip_protect = false;
}

Test(mem_drop, stored_page_called_free_twice_is_forgotten)
{
	struct mem_rig rig;

	start(&rig, true);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_evict_all(&rig.guest);
	drop_hinted(rig.guest.space, 0, PAGES, 1);
	cr_expect(mem_guest_check(&rig.guest, 40, 1));
	mem_guest_settle(&rig.guest);
	cr_expect_gt(drop_hinted(rig.guest.space, 0, PAGES, 2), 0);
	cr_expect(mem_guest_check(&rig.guest, 40, 1), "was used between");
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

/* A guest whose driver names what is free, and whose other half may use it again at once. */
struct hinting {
	struct mem_guest *guest;
	_Atomic bool stop;
	_Atomic u32 rounds;
	_Atomic u8 is_free[PAGES];
};

/* Each round looks at what is free, dawdles as a queue does, and passes it on. */
static void *name_free_pages(void *argument)
{
	struct hinting *hinting = argument;
	static u8 named[PAGES];

	while (!hinting->stop) {
		u32 round = hinting->rounds + 1;

		for (u32 i = 0; i < PAGES; i++)
			named[i] = hinting->is_free[i];
		usleep(500);
		for (u32 i = 0; i < PAGES; i++)
			if (named[i])
				drop_hinted(hinting->guest->space, i, 1, round);
		hinting->rounds = round;
	}
	return NULL;
}

/* Uses pages and lets them go at random, the first ones often, the last ones seldom: however quick it is
 * beside the rounds, some pages are free for two of them on end. Goes on until one was dropped. Returns how
 * many were not as written. */
static u64 use_pages(struct hinting *hinting, u32 rounds)
{
	const _Atomic u64 *dropped = &hinting->guest->space->counters.dropped;
	static u32 versions[PAGES];
	u64 state = 5, stale = 0;

	while (hinting->rounds < rounds || !*dropped) {
		u64 page = mem_random(&state) % (1 + mem_random(&state) % PAGES);

		if (!hinting->is_free[page]) {
			stale += !mem_guest_check(hinting->guest, page, versions[page]);
			hinting->is_free[page] = 1;
			continue;
		}
		hinting->is_free[page] = 0;
		mem_guest_write(hinting->guest, page, ++versions[page]);
	}
	return stale;
}

Test(mem_drop, page_used_while_hints_are_on_their_way_is_kept, .timeout = 120)
{
	static struct hinting hinting;
	struct mem_rig rig;
	pthread_t thread;

	start(&rig, true);
	hinting.guest = &rig.guest;
	for (u32 i = 0; i < PAGES; i++)
		hinting.is_free[i] = 1;
	pthread_create(&thread, NULL, name_free_pages, &hinting);
	cr_expect_eq(use_pages(&hinting, 60), 0);
	hinting.stop = true;
	pthread_join(thread, NULL);
	mem_rig_stop(&rig);
}
