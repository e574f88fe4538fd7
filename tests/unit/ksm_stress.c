/* SPDX-License-Identifier: Apache-2.0 */
/* Guests write and verify while their pages are shared, brought home, evicted and unmerged; and what happens when
 * a protection is left out. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "ksm/frames.h"
#include "ksm/internal.h"
#include "lib/clock.h"
#include "mem/breaks.h"
#include "mem/drop.h"
#include "mem/evict.h"
#include "mem/remap.h"
#include "tests/unit/ksm_rig.h"

#define BYTES	     (4 * MiB)
#define PAGES	     (BYTES / PAGE_SIZE)
#define SECONDS	     2
#define CONTENTS     3 /* few, so that written pages are alike again */
#define REAL_PAGE(a) ((u64)(uintptr_t)(a) / PAGE_SIZE)

struct writer {
	struct mem_guest *guest;
	u8 contents[PAGES];
	u32 number;
	bool hot;      /* stays with few pages, and never rests */
	bool balloons; /* gives pages up, and takes them back */
	u64 stale, writes;
	_Atomic bool *stop;
	pthread_t thread;
};

/* Gives some pages up and takes them back: they are zero then, or, if one was held just then, anything. */
static void balloon(struct writer *writer, u64 index, u64 count)
{
	struct space *space = writer->guest->space;
	u64 taken = drop_pages(space, index, count, PAGE_BALLOONED);

	drop_return(space, index, count);
	for (u64 i = index; i < index + count; i++) {
		const volatile u64 *page =
			(const volatile u64 *)(writer->guest->ram + i * PAGE_SIZE);

		writer->stale += taken == count && (page[0] || page[PAGE_SIZE / 8 - 1]);
		ksm_rig_write(writer->guest, i, 1);
		writer->contents[i] = 1;
	}
}

static void *write_and_verify(void *argument)
{
	struct writer *writer = argument;
	u64 state = 99 + writer->number;

	while (!*writer->stop) {
		u64 index = mem_random(&state) % PAGES;
		u8 content = (u8)(mem_random(&state) % CONTENTS);

		writer->stale += !ksm_rig_check(writer->guest, index, writer->contents[index]);
		if (mem_random(&state) % 4 == 0) {
			ksm_rig_write(writer->guest, index, content);
			writer->contents[index] = content;
			writer->writes++;
		}
		if (writer->balloons && mem_random(&state) % 256 == 0)
			balloon(writer, MIN(index, PAGES - 24), 24);
		/* Memory must be left alone for a while to be shared at all. */
		if (!writer->hot && mem_random(&state) % 64 == 0)
			usleep(1000);
	}
	return NULL;
}

struct mover {
	struct ksm_rig *rig;
	_Atomic bool *stop;
	bool evicts;
	bool frames; /* ... shared frames too */
	bool balloons;
	_Atomic u64 moved, left;
};

static void *share_and_move(void *argument)
{
	struct mover *mover = argument;
	struct ksm_rig *rig = mover->rig;
	u64 state = 5;

	while (!*mover->stop) {
		u64 turn = mem_random(&state);
		struct space *space = rig->guests[turn % KSM_RIG_GUESTS].space;
		u64 region = turn / 8 % space->region_count;

		ksm_scan(rig->ksm, 1000);
		/* Sheets come home when memory is short. */
		rig->memory.reclaiming = turn / 16 % 4 == 0;
		if (turn / 64 % 4 == 0)
			mover->moved += ksm_bring_home(rig->ksm);
		if (turn / 512 % 64 == 0)
			mover->moved += ksm_unmerge(rig->ksm);
		if (mover->evicts && turn / 32768 % 8 == 0)
			evict_pages(space, region * REGION_PAGES, REGION_PAGES, UINT32_MAX);
		if (mover->frames)
			mover->left += ksm_rig_evict_frames(rig);
	}
	return NULL;
}

/* Keeps what is evicted. */
static struct mem_rig store;

static bool all_dropped(const struct ksm_rig *rig)
{
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		if (!atomic_load(&rig->guests[i].space->counters.dropped))
			return false;
	return true;
}

/* What the guests are to live through has happened often enough. Sheets are rare where pages are evicted, or all
 * hashes alike. */
static bool seen_enough(struct mover *mover)
{
	bool sheets_are_rare = mover->evicts || ksm_test_hash_bits < 64;

	return mover->rig->memory.cow_breaks > 100 && mover->moved &&
	       (mover->left > 100 || !mover->frames) &&
	       (all_dropped(mover->rig) || !mover->balloons) &&
	       (ksm_rig_stats(mover->rig).sheets > 3 || sheets_are_rare);
}

/* Returns how many pages were not as their guest had written them. */
static u64 stress_with(struct ksm_rig *rig, double seconds, bool evicts, bool balloons)
{
	struct writer *writers = calloc(KSM_RIG_GUESTS, sizeof(*writers));
	_Atomic bool stop = false;
	struct mover mover = {.rig = rig,
			      .stop = &stop,
			      .evicts = evicts,
			      .frames = rig->swap,
			      .balloons = balloons};
	pthread_t thread;
	u64 stale = 0;

	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		ksm_rig_fill(&rig->guests[i], 0);
		writers[i].guest = &rig->guests[i];
		writers[i].number = i;
		writers[i].stop = &stop;
		writers[i].balloons = balloons;
		pthread_create(&writers[i].thread, NULL, write_and_verify, &writers[i]);
	}
	pthread_create(&thread, NULL, share_and_move, &mover);
	for (u32 waited = 0; waited < 100; waited++) {
		usleep((useconds_t)(seconds * 1e5));
		if (waited >= 10 && seen_enough(&mover))
			break;
	}
	stop = true;
	pthread_join(thread, NULL);
	rig->memory.reclaiming = false;
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		pthread_join(writers[i].thread, NULL);
		stale += writers[i].stale;
		for (u64 j = 0; j < PAGES; j++)
			stale += !ksm_rig_check(&rig->guests[i], j, writers[i].contents[j]);
		cr_assert(!rig->guests[i].failed, "%s", rig->guests[i].why);
	}
	free(writers);
	return stale;
}

static u64 stress(struct ksm_rig *rig, double seconds, bool evicts)
{
	return stress_with(rig, seconds, evicts, false);
}

Test(ksm_stress, guests_verify_while_their_pages_are_shared)
{
	struct ksm_rig_options options = {.bytes = BYTES};
	struct ksm_rig rig;

	ksm_rig_start(&rig, &options);
	cr_expect_eq(stress(&rig, SECONDS, false), 0);
	cr_expect_gt(ksm_rig_stats(&rig).cow_breaks, 100);
	cr_expect_gt(ksm_rig_stats(&rig).sheets, 3);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

Test(ksm_stress, guests_verify_while_their_pages_are_shared_and_evicted)
{
	struct ksm_rig_options options = {.bytes = BYTES};
	struct mem_guest_options none = {.bytes = REGION_SIZE};
	struct ksm_rig rig;

	mem_rig_start_with(&store, &none, 64 * MiB, false);
	ksm_rig_start(&rig, &options);
	rig.memory.sources[PAGE_COMPRESSED] = rig.memory.stores[0] = &store.pool.source;
	cr_expect_eq(stress(&rig, SECONDS, true), 0);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
	mem_rig_stop(&store);
}

Test(ksm_stress, guests_verify_while_frames_leave_memory)
{
	struct ksm_rig_options options = {.bytes = BYTES, .swap = true};
	struct ksm_rig rig;

	ksm_rig_start(&rig, &options);
	cr_expect_eq(stress(&rig, SECONDS, true), 0);
	cr_expect_gt(ksm_rig_stats(&rig).frames_left, 100);
	cr_expect_gt(ksm_rig_stats(&rig).frames_came, 10);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* All at once: the real pool and swap file, frames that leave, and guests that give pages up. */
Test(ksm_stress, guests_verify_while_they_share_balloon_and_swap)
{
	struct ksm_rig_options options = {.bytes = BYTES, .swap = true};
	struct ksm_rig rig;

	ksm_rig_start(&rig, &options);
	cr_expect_eq(stress_with(&rig, SECONDS, true, true), 0);
	cr_expect(all_dropped(&rig));
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
}

/* Hashes of four bits: nearly every lookup finds pages that are not equal. */
static u64 stress_with_collisions(void)
{
	struct ksm_rig_options options = {.bytes = BYTES};
	struct ksm_rig rig;
	u64 stale;

	ksm_test_hash_bits = 4;
	ksm_rig_start(&rig, &options);
	stale = stress(&rig, SECONDS, false);
	cr_expect(frames_test_skip_compare || ksm_rig_stats(&rig).hash_collisions > 100);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
	ksm_test_hash_bits = 64;
	return stale;
}

Test(ksm_stress, guests_verify_while_hashes_collide)
{
	cr_expect_eq(stress_with_collisions(), 0);
}

Test(ksm_stress, without_comparison_colliding_pages_are_mixed_up)
{
	frames_test_skip_compare = true;
	cr_expect_gt(stress_with_collisions(), 0);
	frames_test_skip_compare = false;
}

/* What the freezing of a page is for, before it is compared and dropped. */
Test(ksm_stress, without_freezing_writes_are_lost)
{
	struct ksm_rig_options options = {.bytes = BYTES};
	u64 stale = 0;

	evict_test_skip_protect = remap_test_skip_protect = true;
	for (u32 tries = 0; tries < 20 && !stale; tries++) {
		struct ksm_rig rig;

		ksm_rig_start(&rig, &options);
		stale = stress(&rig, 0.5, false);
		ksm_rig_stop(&rig);
	}
	evict_test_skip_protect = remap_test_skip_protect = false;
	cr_assert_gt(stale, 0, "the race this protects from was not hit");
}

/* Returns how often a write was lost while its page came home. */
static u64 hammer_home(struct ksm_rig *rig, u32 times)
{
	struct ksm_hammer hammer;

	ksm_rig_write(&rig->guests[0], 0, 1);
	ksm_hammer_start(&hammer, &rig->guests[0], 0);
	for (u32 i = 0; i < times; i++) {
		/* The hammer keeps its page from being shared: let the rest be, and it with them. */
		ksm_scan(rig->ksm, 10000);
		remap_home(rig->guests[0].space, 0, true);
		sched_yield();
	}
	return ksm_hammer_stop(&hammer);
}

/* A guest's page is shared, and written while it comes home: with the write-protection, and without. */
static u64 lost_on_the_way_home(void)
{
	struct ksm_rig_options options = {.bytes = BYTES};
	u64 lost = 0;

	for (u32 tries = 0; tries < 40 && !lost; tries++) {
		struct ksm_rig rig;

		ksm_rig_start(&rig, &options);
		for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
			ksm_rig_fill(&rig.guests[i], 1);
		ksm_rig_scan(&rig);
		lost = hammer_home(&rig, 20);
		ksm_rig_stop(&rig);
		if (!remap_test_skip_protect && tries == 3)
			break;
	}
	return lost;
}

Test(ksm_stress, no_write_is_lost_on_the_way_home)
{
	cr_expect_eq(lost_on_the_way_home(), 0);
}

Test(ksm_stress, without_protection_writes_are_lost_on_the_way_home)
{
	remap_test_skip_protect = true;
	cr_assert_gt(lost_on_the_way_home(), 0, "the race this protects from was not hit");
	remap_test_skip_protect = false;
}

/* The moment at which a write goes unseen: the VMM has mapped frames, nobody watches them yet. */
static void write_unseen(struct mem_guest *guest, const struct space_remap *range)
{
	ksm_rig_write(guest, range->file_offset / PAGE_SIZE, 7);
}

/* Pages that are the VMM's own, but count as shared. */
static u64 unaccounted(struct ksm_rig *rig)
{
	u64 wrong = 0;

	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		const struct space *space = rig->guests[i].space;

		for (u64 j = 0; j < PAGES; j++) {
			struct page_word word = page_table_read(&space->table, j);
			u64 entry = 0;

			cr_assert_eq(
				pread(space->options.pagemap, &entry, sizeof(entry),
				      (off_t)((REAL_PAGE(rig->guests[i].ram) + j) * sizeof(entry))),
				(ssize_t)sizeof(entry));
			if (page_word_state(word) == PAGE_SHARED && entry >> 63 &&
			    !(entry >> 61 & 1))
				wrong++;
		}
	}
	return wrong;
}

static u64 share_with_unseen_writes(void)
{
	struct ksm_rig_options options = {.bytes = BYTES};
	struct ksm_rig rig;
	u64 wrong;

	ksm_rig_start(&rig, &options);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		ksm_rig_fill(&rig.guests[i], 1);
		rig.guests[i].mapped = write_unseen;
	}
	ksm_rig_scan(&rig);
	wrong = unaccounted(&rig);
	if (!wrong)
		ksm_rig_audit(&rig);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect_geq(PAGES, ksm_rig_check_all(&rig.guests[i], 1));
	ksm_rig_stop(&rig);
	return wrong;
}

Test(ksm_stress, a_write_before_anyone_watches_is_found)
{
	cr_expect_eq(share_with_unseen_writes(), 0);
}

Test(ksm_stress, without_the_look_afterwards_such_writes_go_uncounted)
{
	remap_test_skip_look = true;
	cr_expect_gt(share_with_unseen_writes(), 0);
	remap_test_skip_look = false;
}

struct storm {
	struct mem_guest *guest;
	u32 number;
	_Atomic bool done;
	pthread_t thread;
};

static void *rewrite(void *argument)
{
	struct storm *storm = argument;

	for (u32 round = 0; round < 2; round++) {
		for (u64 i = 0; i < storm->guest->bytes / PAGE_SIZE && !storm->guest->failed; i++)
			ksm_rig_write(storm->guest, i, 10 + storm->number + round * 10);
	}
	storm->done = true;
	return NULL;
}

/* A guest has failed, or all are done. */
static bool is_over(const struct storm *storms)
{
	u32 done = 0;

	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		if (storms[i].guest->failed)
			return true;
		done += storms[i].done;
	}
	return done == KSM_RIG_GUESTS;
}

/* Of all pages, or nearly: with fewer frames there would be memory for all that is written. */
static bool all_shared(struct ksm_rig *rig)
{
	struct ksm_stats stats = ksm_rig_stats(rig);

	return stats.pages_shared >= 4000 && stats.pages_sharing >= 8000;
}

/* All guests rewrite everything at once, in a budget that holds all of it only just; nothing can be stored. Nothing comes home
 * until a guest has failed, all are done, or so much time is over. Returns how many guests failed. */
static u32 storm(u64 hold_ns)
{
	struct ksm_rig_options options = {
		.bytes = 16 * MiB, .budget = KSM_RIG_GUESTS * 16 * MiB + 12 * MiB, .thread = true};
	struct storm storms[KSM_RIG_GUESTS];
	struct ksm_rig rig;
	u32 failed = 0;
	u64 until_ns;

	ksm_rig_start(&rig, &options);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		ksm_rig_fill(&rig.guests[i], 1);
	for (u32 i = 0; i < 6000 && !all_shared(&rig); i++)
		usleep(10000);
	cr_assert(all_shared(&rig));
	pthread_mutex_lock(&rig.ksm->scan_lock);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		storms[i] = (struct storm){.guest = &rig.guests[i], .number = i};
		pthread_create(&storms[i].thread, NULL, rewrite, &storms[i]);
	}
	until_ns = clock_now_ns() + hold_ns;
	while (!is_over(storms) && clock_now_ns() < until_ns)
		usleep(1000);
	pthread_mutex_unlock(&rig.ksm->scan_lock);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		while (pthread_tryjoin_np(storms[i].thread, NULL)) {
			if (rig.guests[i].failed && rig.guests[i].space)
				mem_guest_end(&rig.guests[i]);
			usleep(10000);
		}
		failed += rig.guests[i].failed;
	}
	ksm_stop(rig.ksm);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		cr_expect(rig.guests[i].failed || !ksm_rig_check_all(&rig.guests[i], 20 + i));
	cr_expect_leq(rig.memory.budget.peak, rig.memory.budget.limit);
	ksm_rig_audit(&rig);
	ksm_rig_stop(&rig);
	return failed;
}

Test(ksm_stress, a_storm_of_breaks_stays_within_the_budget)
{
	cr_expect_eq(storm(500 * NSEC_PER_MSEC), 0);
}

/* What holding a guest up is for, whose writes are faster than its pages come home. */
Test(ksm_stress, without_waits_a_storm_stops_guests, .timeout = 240)
{
	u32 failed;

	breaks_test_no_waits = true;
	failed = storm(120 * NSEC_PER_SEC);
	breaks_test_no_waits = false;
	cr_expect_gt(failed, 0);
}
