/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests whose pages are alike, over the real pool and swap file: who shares, who must not, and that
 * all of them read what they wrote while everything happens at once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "mem/reclaimer.h"
#include "swap/dedup.h"
#include "swap/inject.h"
#include "swap/swap.h"
#include "tests/unit/mem_rig.h"

#define GUEST_BYTES (4 * MiB)
#define GUEST_PAGES (GUEST_BYTES / PAGE_SIZE)
#define GUESTS	    3U

struct host {
	struct memory memory;
	struct swap *swap;
	struct mem_guest guests[GUESTS];
};

static void start_guest(struct host *host, u32 i, u32 salt)
{
	struct mem_guest_options options = {.bytes = GUEST_BYTES, .salt = salt};

	mem_guest_start(&host->guests[i], &host->memory, &options);
}

/* A host with guests of these domains. */
static void start(struct host *host, const u32 salts[GUESTS], struct swap_inject *inject)
{
	char path[64];
	struct swap_options options = {
		.pool_bytes = 32 * MiB,
		.path = path,
		.file_bytes = 64 * MiB,
		.share_before_swap = true,
		.memory = &host->memory,
		.inject = inject,
	};

	memset(host, 0, sizeof(*host));
	mkdir("build", 0777);
	snprintf(path, sizeof(path), "build/dedup-test.%d", getpid());
	memory_init(&host->memory, 256 * MiB);
	cr_assert_eq(swap_create(&options, &host->swap), 0);
	host->memory.sources[PAGE_COMPRESSED] = host->memory.stores[0] =
		swap_compressed(host->swap);
	host->memory.sources[PAGE_DISK] = host->memory.stores[1] = swap_disk(host->swap);
	for (u32 i = 0; i < GUESTS; i++)
		start_guest(host, i, salts[i]);
}

static struct swap_stats stats_of(struct host *host)
{
	struct swap_stats stats;

	swap_stats(host->swap, &stats);
	return stats;
}

static void stop(struct host *host)
{
	struct swap_stats stats;

	for (u32 i = 0; i < GUESTS; i++)
		mem_guest_stop(&host->guests[i]);
	stats = stats_of(host);
	cr_expect_eq(stats.pool_pages + stats.disk_pages, 0);
	cr_expect_eq(stats.shared_pages + stats.shared_blobs, 0);
	swap_destroy(host->swap);
	cr_expect_eq(host->memory.budget.used, 0);
	memory_destroy(&host->memory);
}

static void write_back(struct host *host)
{
	struct reclaimer *writeback = swap_writeback(host->swap);

	for (u32 i = 0; i < 2; i++)
		writeback->ops->scan(writeback, GiB);
}

/* Guests 0 and 1 hold the same, and all of it is evicted. Returns the pages of one that are in the
 * pool or refer to it. */
static u64 evict_twins(struct host *host)
{
	for (u32 i = 0; i < 2; i++) {
		mem_guest_write_all(&host->guests[i], 1);
		mem_guest_evict_all(&host->guests[i]);
	}
	return page_table_count(&host->guests[0].space->table, PAGE_COMPRESSED);
}

Test(dedup_guests, guests_of_one_domain_share)
{
	struct swap_stats stats;
	struct host host;
	u64 pages;

	start(&host, (u32[]){1, 1, 1}, NULL);
	pages = evict_twins(&host);
	stats = stats_of(&host);
	cr_expect_eq(stats.dedup_hits, pages);
	cr_expect_eq(stats.pool_pages, pages);
	cr_expect_eq(stats.shared_pages, 2 * pages);
	for (u32 i = 0; i < 2; i++)
		cr_expect_eq(mem_guest_check_all(&host.guests[i], 1), 0);
	stop(&host);
}

Test(dedup_guests, domains_do_not_share)
{
	struct host host;
	u64 pages;

	start(&host, (u32[]){1, 2, 3}, NULL);
	pages = evict_twins(&host);
	cr_expect_eq(stats_of(&host).dedup_hits, 0);
	cr_expect_eq(stats_of(&host).pool_pages, 2 * pages);
	stop(&host);
}

/* Also where only the salt tells them apart: all hashes collide. */
Test(dedup_guests, domains_do_not_share_whatever_their_hashes)
{
	struct host host;

	dedup_test_hash_mask = 0;
	start(&host, (u32[]){1, 2, 3}, NULL);
	evict_twins(&host);
	cr_expect_eq(stats_of(&host).dedup_hits, 0);
	dedup_test_hash_mask = ~0ULL;
	stop(&host);
}

Test(dedup_guests, who_is_alone_shares_not_even_with_itself)
{
	struct host host;

	start(&host, (u32[]){1, 1, 1}, NULL);
	mem_guest_write_all(&host.guests[0], 1);
	mem_guest_evict_all(&host.guests[0]);
	for (u32 i = 1; i < 3; i++) {
		atomic_store(&host.guests[i].space->salt, SALT_ALONE);
		mem_guest_write_all(&host.guests[i], 1);
		mem_guest_evict_all(&host.guests[i]);
	}
	cr_expect_eq(stats_of(&host).dedup_hits, 0);
	cr_expect_eq(stats_of(&host).shared_pages, 0);
	for (u32 i = 0; i < 3; i++)
		cr_expect_eq(mem_guest_check_all(&host.guests[i], 1), 0);
	stop(&host);
}

/* What the salt is for. */
Test(dedup_guests, without_salt_they_would)
{
	struct host host;

	dedup_test_skip_salt = true;
	start(&host, (u32[]){1, 2, 3}, NULL);
	cr_expect_eq(evict_twins(&host), stats_of(&host).dedup_hits);
	dedup_test_skip_salt = false;
	stop(&host);
}

Test(dedup_guests, a_guest_that_ends_leaves_the_others_what_they_share)
{
	struct host host;
	u64 pages;

	start(&host, (u32[]){1, 1, 1}, NULL);
	pages = evict_twins(&host);
	mem_guest_end(&host.guests[0]);
	cr_expect_eq(stats_of(&host).pool_pages, pages);
	cr_expect_eq(stats_of(&host).shared_saved_bytes, 0);
	cr_expect_eq(mem_guest_check_all(&host.guests[1], 1), 0);
	/* A newcomer in the same slot finds them too. */
	mem_guest_evict_all(&host.guests[1]);
	mem_guest_stop(&host.guests[0]);
	start_guest(&host, 0, 1);
	mem_guest_write_all(&host.guests[0], 1);
	mem_guest_evict_all(&host.guests[0]);
	cr_expect(stats_of(&host).dedup_hits > pages);
	cr_expect_eq(mem_guest_check_all(&host.guests[0], 1), 0);
	cr_expect_eq(mem_guest_check_all(&host.guests[1], 1), 0);
	stop(&host);
}

/* A guest's own pages, of one region, held all at once. */
Test(dedup_guests, equal_pages_of_a_region_share)
{
	struct host host;
	struct mem_guest *guest = &host.guests[0];

	start(&host, (u32[]){1, 2, 3}, NULL);
	for (u64 i = 0; i < REGION_PAGES; i++)
		for (u32 j = 0; j < PAGE_SIZE / 8; j++)
			((volatile u64 *)(guest->ram + i * PAGE_SIZE))[j] = 1 + i % 2 + j;
	mem_guest_evict_all(guest);
	/* The first of each kind is busy, the second the shared one. */
	cr_expect_eq(stats_of(&host).pool_pages, 4);
	cr_expect_eq(stats_of(&host).dedup_hits, REGION_PAGES - 4);
	for (u64 i = 0; i < REGION_PAGES; i++)
		for (u32 j = 0; j < PAGE_SIZE / 8; j++)
			cr_assert_eq(((volatile u64 *)(guest->ram + i * PAGE_SIZE))[j],
				     1 + i % 2 + j);
	stop(&host);
}

struct failing {
	struct swap_inject inject;
	_Atomic bool fails;
};

static s32 fail_reads(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		      u32 length, s32 result)
{
	const struct failing *failing = container_of(inject, struct failing, inject);

	(void)offset;
	(void)buffer;
	(void)length;
	return failing->fails && op == SWAP_IO_READ ? -EIO : result;
}

static void *touch_page_2(void *argument)
{
	struct mem_guest *guest = argument;

	(void)*(volatile u8 *)(guest->ram + 2 * PAGE_SIZE);
	return NULL;
}

Test(dedup_guests, a_lost_blob_stops_the_guests_that_need_it, .timeout = 60)
{
	struct failing failing = {.inject = {.after = fail_reads}};
	struct host host;
	pthread_t threads[2];

	log_set_level(LOG_LEVEL_ERROR);
	start(&host, (u32[]){1, 1, 1}, &failing.inject);
	evict_twins(&host);
	write_back(&host);
	mem_guest_write_all(&host.guests[2], 1);
	failing.fails = true;
	for (u32 i = 0; i < 2; i++) {
		struct mem_guest *guest = &host.guests[i];

		cr_expect_not(guest->failed);
		cr_assert_eq(pthread_create(&threads[i], NULL, touch_page_2, guest), 0);
		while (!guest->failed)
			usleep(1000);
		cr_expect(strstr(guest->why, "page 2 cannot be read back"), "%s", guest->why);
	}
	/* Its own copy serves the third, and it goes on. */
	mem_guest_evict_all(&host.guests[2]);
	cr_expect(mem_guest_check(&host.guests[2], 2, 1));
	failing.fails = false;
	cr_expect_eq(mem_guest_check_all(&host.guests[2], 1), 0);
	cr_expect_not(host.guests[2].failed);
	for (u32 i = 0; i < 2; i++) {
		mem_guest_settle(&host.guests[i]);
		mem_guest_end(&host.guests[i]);
		pthread_join(threads[i], NULL);
	}
	stop(&host);
}

/* --- everything at once --- */

#define STRESS_VERSIONS 3U

struct actor {
	struct host *host;
	u32 number;
	u64 random, stale;
	_Atomic u64 *operations;
	_Atomic bool *stop;
};

/* One of two threads of a guest, each with every other page: writes one of few contents, checks. */
static void *guest_thread(void *argument)
{
	struct actor *actor = argument;
	struct mem_guest *guest = &actor->host->guests[actor->number / 2];
	u8 *versions = calloc(GUEST_PAGES, 1);

	while (!*actor->stop) {
		u64 i = mem_random(&actor->random) % (GUEST_PAGES / 2) * 2 + actor->number % 2;

		actor->stale += !mem_guest_check(guest, i, versions[i]);
		if (mem_random(&actor->random) % 2) {
			versions[i] = (u8)(1 + mem_random(&actor->random) % STRESS_VERSIONS);
			mem_guest_write(guest, i, versions[i]);
		}
		atomic_fetch_add(actor->operations, 1);
	}
	for (u64 i = actor->number % 2; i < GUEST_PAGES; i += 2)
		actor->stale += !mem_guest_check(guest, i, versions[i]);
	free(versions);
	return NULL;
}

static void *evictor_thread(void *argument)
{
	struct actor *actor = argument;

	while (!*actor->stop) {
		struct space *space = actor->host->guests[mem_random(&actor->random) % 2].space;
		u64 region = mem_random(&actor->random) % space->region_count;

		if (evict_pages(space, region * REGION_PAGES, REGION_PAGES, UINT32_MAX) <= 0)
			sched_yield();
	}
	return NULL;
}

static void *writeback_thread(void *argument)
{
	struct actor *actor = argument;
	struct reclaimer *writeback = swap_writeback(actor->host->swap);

	while (!*actor->stop) {
		writeback->ops->scan(writeback, mem_random(&actor->random) % MiB);
		usleep(1000);
	}
	return NULL;
}

/* Guest 2 holds what the others hold, and comes and goes. */
static void *newcomer_thread(void *argument)
{
	struct actor *actor = argument;
	struct mem_guest *guest = &actor->host->guests[2];

	while (!*actor->stop) {
		u32 version = (u32)(1 + mem_random(&actor->random) % STRESS_VERSIONS);

		mem_guest_write_all(guest, version);
		mem_guest_evict_all(guest);
		actor->stale += !mem_guest_check(guest, 2, version);
		mem_guest_stop(guest);
		start_guest(actor->host, 2, 1);
		atomic_fetch_add(actor->operations, 1);
	}
	return NULL;
}

Test(dedup_guests, all_verify_while_everything_happens, .timeout = 300)
{
	static void *(*const roles[])(void *) = {guest_thread,	   guest_thread,   guest_thread,
						 guest_thread,	   evictor_thread, evictor_thread,
						 writeback_thread, newcomer_thread};
	struct actor actors[ARRAY_SIZE(roles)];
	pthread_t threads[ARRAY_SIZE(roles)];
	_Atomic u64 operations[ARRAY_SIZE(roles)] = {0};
	u64 end = clock_now_ns() + 2 * NSEC_PER_SEC, stale = 0;
	_Atomic bool stop_all = false;
	struct swap_stats stats;
	struct host host;

	start(&host, (u32[]){1, 1, 1}, NULL);
	for (u32 i = 0; i < ARRAY_SIZE(roles); i++) {
		actors[i] = (struct actor){&host, i, i + 1, 0, &operations[i], &stop_all};
		cr_assert_eq(pthread_create(&threads[i], NULL, roles[i], &actors[i]), 0);
	}
	do {
		usleep(10000);
		stats = stats_of(&host);
	} while (clock_now_ns() < end || stats.dedup_hits < 500 || operations[0] < 500 ||
		 operations[7] < 2 || !stats.written_bytes);
	stop_all = true;
	for (u32 i = 0; i < ARRAY_SIZE(roles); i++) {
		pthread_join(threads[i], NULL);
		stale += actors[i].stale;
	}
	cr_expect_eq(stale, 0);
	for (u32 i = 0; i < GUESTS; i++) {
		cr_expect_not(host.guests[i].failed, "%s", host.guests[i].why);
		mem_guest_check_counters(&host.guests[i]);
	}
	stop(&host);
}
