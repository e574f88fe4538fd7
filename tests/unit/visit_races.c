/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMMs that discard memory while the manager evicts it and brings it back, and while other threads of theirs
 * write. The ioctls that fill a page fail with EAGAIN as long as an event of a discard is unread: who takes that
 * for an end, or fills a page that was discarded meanwhile, loses a page or brings a dead one back.
 *
 * What each page must hold is known at any time: whoever works on a page claims it first. A page is as it was
 * written last, and zero from the moment that a discard returns. The groups that leave and come back together have
 * pages of all threads.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/clock.h"
#include "tests/unit/mem_rig.h"
#include "tests/unit/visit_rig.h"

#define BYTES	(64 * MiB)
#define PAGES	(BYTES / PAGE_SIZE)
#define RUN	64U /* pages discarded at once */
#define ROUNDS	1500U
#define SECONDS 3U /* on a loaded machine, fewer rounds */
#define WRITERS 2U
#define CLAIMED UINT32_MAX

/* One way of discarding: content is void when it returns. */
typedef void discard(struct peer_guest *guest, u64 first, u64 count);

/* A peer's. */
static struct peer_guest guest;
static _Atomic u32 versions[PAGES]; /* what a page holds; 0: zero; CLAIMED: a thread works on it */
static _Atomic bool over;

static bool claim(u64 page, u32 *version)
{
	*version = atomic_load(&versions[page]);
	return *version != CLAIMED &&
	       atomic_compare_exchange_strong(&versions[page], version, CLAIMED);
}

static void *keep_writing(void *argument)
{
	u64 state = 11 + (u64)(uintptr_t)argument;
	u32 version;

	while (!over) {
		u64 page = mem_random(&state) % PAGES;

		if (!claim(page, &version))
			continue;
		EXPECT(peer_check(&guest, page, version));
		peer_write(&guest, page, version + 1);
		EXPECT(peer_check(&guest, page, version + 1));
		atomic_store(&versions[page], version + 1);
	}
	return NULL;
}

/* As many pages from `first` on as nobody works on. */
static u64 claim_run(u64 first)
{
	u64 count = 0;
	u32 version;

	while (count < RUN && first + count < PAGES && claim(first + count, &version))
		count++;
	return count;
}

static void keep_discarding(discard *way)
{
	u64 state = 3, end = clock_now_ns() + SECONDS * NSEC_PER_SEC;

	for (u32 round = 0; round < ROUNDS && clock_now_ns() < end; round++) {
		u64 first = mem_random(&state) % PAGES, count = claim_run(first);

		if (!count)
			continue;
		way(&guest, first, count);
		/* Of some it is the writers who find out, later. */
		for (u64 i = first; i < first + count; i += 1 + round % 3)
			EXPECT(peer_check(&guest, i, 0));
		for (u64 i = first; i < first + count; i++)
			atomic_store(&versions[i], 0);
	}
}

static int race(discard *way)
{
	pthread_t writers[WRITERS];

	for (u64 i = 0; i < PAGES; i++) {
		peer_write(&guest, i, 1);
		versions[i] = 1;
	}
	for (u32 i = 0; i < WRITERS; i++)
		EXPECT(!pthread_create(&writers[i], NULL, keep_writing, (void *)(uintptr_t)i));
	keep_discarding(way);
	over = true;
	for (u32 i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	for (u64 i = 0; i < PAGES; i++)
		EXPECT(peer_check(&guest, i, versions[i]));
	peer_exit(&guest);
	return 0;
}

static void advise(struct peer_guest *of, u64 first, u64 count, int advice)
{
	EXPECT(!madvise(of->at + first * PAGE_SIZE, count * PAGE_SIZE, advice));
}

static void by_remove(struct peer_guest *of, u64 first, u64 count)
{
	advise(of, first, count, MADV_REMOVE);
}

static void by_dontneed(struct peer_guest *of, u64 first, u64 count)
{
	advise(of, first, count, MADV_DONTNEED);
}

/* As Cloud Hypervisor does: the hole alone says nothing to the manager. */
static void by_hole(struct peer_guest *of, u64 first, u64 count)
{
	EXPECT(!fallocate(of->ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)(first * PAGE_SIZE), (off_t)(count * PAGE_SIZE)));
	advise(of, first, count, MADV_DONTNEED);
}

static int removes(const char *path)
{
	peer_begin_removing(&guest, path, "races", BYTES);
	return race(by_remove);
}

static int advises(const char *path)
{
	peer_begin_removing(&guest, path, "races", BYTES);
	return race(by_dontneed);
}

static int punches(const char *path)
{
	peer_begin_removing(&guest, path, "races", BYTES);
	return race(by_hole);
}

/* As the library in QEMU does. */
static int says(const char *path)
{
	peer_begin(&guest, path, "races", BYTES);
	return race(peer_discard);
}

/* A budget of less than two thirds; with_disk: most of what leaves does so for the file, and comes back by the
 * reader's thread. Returns how the guest was in the end. */
static struct guest_snapshot run_race(visit_peer *peer, bool with_disk)
{
	struct guest_snapshot snapshot = {0};
	struct visit visit;

	visit_init(&visit);
	if (with_disk) {
		snprintf(visit.config.swap_file, sizeof(visit.config.swap_file), "%s/swap",
			 visit.folder);
		visit.config.swap_bytes = 256 * MiB;
		visit.config.pool_percent = 10;
	}
	visit_add(&visit, peer);
	visit_start(&visit);
	cr_expect_eq(visit_turn(&visit, 0), 0);
	cr_expect(visit_guest(&visit, "races", GUEST_LIFE_ENDED, &snapshot));
	cr_expect_eq(snapshot.exit_code, ATTACH_EXIT_OK, "%s", snapshot.exit_text);
	cr_expect_gt(snapshot.evicted_pages, 0);
	cr_expect_gt(snapshot.refaulted_pages, 0);
	visit_stop(&visit);
	return snapshot;
}

Test(visit_races, removing_against_the_pool, .timeout = 120)
{
	cr_expect_gt(run_race(removes, false).faults_removed, 0);
}

Test(visit_races, removing_against_the_disk, .timeout = 120)
{
	cr_expect_gt(run_race(removes, true).faults_removed, 0);
}

Test(visit_races, dropping_from_its_page_tables, .timeout = 120)
{
	cr_expect_gt(run_race(advises, true).faults_removed, 0);
}

Test(visit_races, punching_its_file, .timeout = 120)
{
	cr_expect_gt(run_race(punches, true).faults_removed, 0);
}

Test(visit_races, dropping_by_message, .timeout = 120)
{
	cr_expect_gt(run_race(says, true).balloon.freed, 0);
}
