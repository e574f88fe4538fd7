/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariants of the memory core as properties of random operation sequences: several guests share
 * one budget with the real pool and swap file, while memory is reclaimed, unmapped, evicted out of
 * turn, and other guests come and go.
 *
 *	1. a guest reads what it last wrote;
 *	2. every page is in one state, and the counters equal a walk;
 *	3. what is used stays within the budget, and is what the kernel says;
 *	4. damage is an error that stops one guest, never wrong data.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/clock.h"
#include "mem/reclaim.h"
#include "swap/inject.h"
#include "swap/swap.h"
#include "tests/unit/mem_rig.h"

#ifdef __SANITIZE_THREAD__
#define SECONDS 1
#else
#define SECONDS 2
#endif
#define GUESTS	      3U
#define GUEST_BYTES   (24 * MiB)
#define GUEST_THREADS 2U
#define BUDGET	      (48 * MiB)
#define POOL_BYTES    (8 * MiB)
#define FILE_BYTES    (96 * MiB)
#define VISITOR_BYTES (4 * MiB)
/* Of all users in a run. */
#define OPERATIONS_LEAST 1000U
/* A huge page that the kernel cannot split when a part of it is punched keeps its memory. */
#define FILE_TOLERANCE (2 * REGION_PAGES)

struct host;

/* A thread that uses a guest's memory; it owns every GUEST_THREADS-th page. */
struct user {
	struct host *host;
	struct mem_guest *guest;
	u32 number;
	u32 *versions; /* of all pages of the guest */
	_Atomic u64 operations;
	u64 wrong;
	pthread_t thread;
};

struct host {
	struct memory memory;
	struct swap *swap;
	struct clock *clock;
	struct reclaim *reclaim;
	char path[64];
	u64 base; /* of the budget: buffers of the swap file */
	struct mem_guest guests[GUESTS];
	u32 *versions[GUESTS];
	struct user users[GUESTS * GUEST_THREADS];
	pthread_t disturber, visitor, sampler;
	_Atomic u64 visits;
	u64 visit_errors, most_file_bytes;
	_Atomic bool stop;
	struct swap_inject inject;
	_Atomic u32 write_errors, read_errors; /* one transfer in so many fails; 0: none */
	_Atomic bool area_fails, area_damaged; /* what is read from a part of the file */
	_Atomic u32 transfers, injected;
};

/* Every eighth MiB of the disk is bad. */
static bool in_bad_area(u64 offset)
{
	return offset / MiB % 8 == 1;
}

static s32 after_transfer(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
			  u32 length, s32 result)
{
	struct host *host = container_of(inject, struct host, inject);
	u32 one_in = op == SWAP_IO_WRITE ? host->write_errors : host->read_errors;
	bool bad = op == SWAP_IO_READ && in_bad_area(offset);

	if ((one_in && ++host->transfers % one_in == 0) || (bad && host->area_fails)) {
		host->injected++;
		return -EIO;
	}
	if (bad && host->area_damaged) {
		host->injected++;
		for (u32 i = 0; i < length; i += 64)
			((u8 *)buffer)[i] ^= 0x10;
	}
	return result;
}

static void create_swap(struct host *host)
{
	struct swap_options options = {
		.pool_bytes = POOL_BYTES,
		.path = host->path,
		.file_bytes = FILE_BYTES,
		.memory = &host->memory,
		.inject = &host->inject,
	};

	mkdir("build", 0777);
	snprintf(host->path, sizeof(host->path), "build/mem-test-swap.%d", getpid());
	host->inject.after = after_transfer;
	cr_assert_eq(swap_create(&options, &host->swap), 0);
	host->memory.sources[PAGE_COMPRESSED] = swap_compressed(host->swap);
	host->memory.sources[PAGE_DISK] = swap_disk(host->swap);
	host->memory.stores[0] = swap_compressed(host->swap);
	host->memory.stores[1] = swap_disk(host->swap);
	host->base = host->memory.budget.used;
}

static void create_reclaim(struct host *host)
{
	struct reclaimer *reclaimers[3] = {NULL};

	host->clock = clock_create(&host->memory);
	reclaimers[0] = clock_reclaimer(host->clock);
	reclaimers[1] = swap_writeback(host->swap);
	cr_assert_eq(reclaim_create(&host->memory, reclaimers, 20, &host->reclaim), 0);
}

/* ---- who works on the memory ---- */

static void use_page(struct user *user, u64 index, u64 *state)
{
	u64 choice = mem_random(state) % 8;

	user->operations++;
	if (choice < 3)
		mem_guest_write(user->guest, index, ++user->versions[index]);
	else if (!mem_guest_check(user->guest, index, user->versions[index]))
		user->wrong++;
}

/* Runs, forwards, of random length in a working set that moves now and then. */
static void *use_memory(void *argument)
{
	struct user *user = argument;
	u64 pages = user->guest->bytes / PAGE_SIZE, set = pages / 2, base = 0;
	u64 state = 1 + user->number + (u64)(uintptr_t)user->guest;

	while (!user->host->stop) {
		u64 first = base + mem_random(&state) % set, run = 1 + mem_random(&state) % 64;

		if (mem_random(&state) % 64 == 0)
			base = mem_random(&state) % (pages - set);
		for (u64 i = first; i < MIN(first + run, pages) && !user->host->stop; i++) {
			if (i % GUEST_THREADS == user->number)
				use_page(user, i, &state);
		}
	}
	return NULL;
}

/* Unmaps and evicts at random, without a thought for what is hot. */
static void *disturb(void *argument)
{
	struct host *host = argument;
	u64 state = 4711;

	while (!host->stop) {
		struct space *space =
			memory_get_space(&host->memory, mem_random(&state) % (GUESTS + 1));
		u64 region;

		if (!space)
			continue;
		region = mem_random(&state) % space->region_count;
		if (mem_random(&state) % 2)
			evict_pages(space, region * REGION_PAGES, REGION_PAGES,
				    (u32)mem_random(&state));
		else
			madvise((void *)(uintptr_t)space_hva(space, region * REGION_PAGES),
				REGION_SIZE, MADV_DONTNEED);
		space_put(space);
		usleep(200);
	}
	return NULL;
}

/* Guests come, use their memory, and go. */
static void *visit(void *argument)
{
	struct mem_guest_options options = {.bytes = VISITOR_BYTES};
	struct host *host = argument;
	u32 version = 0;

	while (!host->stop) {
		struct mem_guest guest;

		version++;
		mem_guest_start(&guest, &host->memory, &options);
		for (u64 i = 0; i < VISITOR_BYTES / PAGE_SIZE && !guest.failed; i += 3)
			mem_guest_write(&guest, i, version);
		for (u64 i = 0; i < VISITOR_BYTES / PAGE_SIZE && !guest.failed; i += 3)
			host->visit_errors += !mem_guest_check(&guest, i, version);
		mem_guest_stop(&guest);
		host->visits++;
	}
	return NULL;
}

/* Memory behind all RAM files, as the kernel counts it, while it moves. */
static void *sample(void *argument)
{
	struct host *host = argument;

	while (!host->stop) {
		u64 bytes = 0;

		for (u32 i = 0; i < GUESTS; i++)
			bytes += mem_guest_file_pages(&host->guests[i]) * PAGE_SIZE;
		host->most_file_bytes = MAX(host->most_file_bytes, bytes);
		usleep(1000);
	}
	return NULL;
}

/* ---- a run ---- */

static void start_guests(struct host *host)
{
	struct mem_guest_options options = {.bytes = GUEST_BYTES, .pidfd = true};

	for (u32 i = 0; i < GUESTS; i++) {
		mem_guest_start(&host->guests[i], &host->memory, &options);
		host->versions[i] = calloc(GUEST_BYTES / PAGE_SIZE, sizeof(u32));
	}
	for (u32 i = 0; i < ARRAY_SIZE(host->users); i++) {
		struct user *user = &host->users[i];

		user->host = host;
		user->guest = &host->guests[i / GUEST_THREADS];
		user->number = i % GUEST_THREADS;
		user->versions = host->versions[i / GUEST_THREADS];
		pthread_create(&user->thread, NULL, use_memory, user);
	}
}

/* A guest that failed has threads that wait for ever: ending its space lets them go. */
static void end_failed(struct host *host)
{
	for (u32 i = 0; i < GUESTS; i++) {
		if (host->guests[i].failed && host->guests[i].space)
			mem_guest_end(&host->guests[i]);
	}
}

static u64 join_users(struct host *host)
{
	u64 operations = 0;

	for (u32 i = 0; i < ARRAY_SIZE(host->users); i++) {
		struct user *user = &host->users[i];

		while (pthread_tryjoin_np(user->thread, NULL)) {
			end_failed(host);
			usleep(1000);
		}
		/* What they saw after the end is not memory. */
		if (user->guest->failed)
			continue;
		cr_assert_eq(user->wrong, 0, "%lu pages were not what was written", user->wrong);
		operations += user->operations;
	}
	return operations;
}

/* Whether what the test is about has happened. */
static bool host_met_its_faults(const struct host *host)
{
	bool failed = false;
	u64 operations = 0;

	for (u32 i = 0; i < ARRAY_SIZE(host->users); i++)
		operations += host->users[i].operations;
	if (operations <= OPERATIONS_LEAST)
		return false;
	for (u32 i = 0; i < GUESTS; i++)
		failed |= host->guests[i].failed;
	if (host->area_fails || host->area_damaged)
		return failed;
	return host->injected || !(host->read_errors || host->write_errors);
}

static void run(struct host *host, bool visitors)
{
	memory_init(&host->memory, BUDGET);
	create_swap(host);
	create_reclaim(host);
	start_guests(host);
	pthread_create(&host->disturber, NULL, disturb, host);
	pthread_create(&host->sampler, NULL, sample, host);
	if (visitors)
		pthread_create(&host->visitor, NULL, visit, host);
	sleep(SECONDS);
	/* On a loaded machine it takes longer. */
	for (u32 i = 0; i < 200 && !(host_met_its_faults(host) && (!visitors || host->visits > 1));
	     i++)
		usleep(100000);
	host->stop = true;
	pthread_join(host->disturber, NULL);
	pthread_join(host->sampler, NULL);
	if (visitors)
		pthread_join(host->visitor, NULL);
}

/* Reads every page of a guest once more. */
static void check_content(struct host *host, u32 number)
{
	struct mem_guest *guest = &host->guests[number];

	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		cr_assert(mem_guest_check(guest, i, host->versions[number][i]), "page %lu", i);
}

/* With everything at rest: our figures, those of the walk, and the kernel's. */
static void check_figures(struct host *host)
{
	u64 resident = 0, file_pages = 0, metadata = 0;
	struct swap_stats stats;

	for (u32 i = 0; i < GUESTS; i++) {
		mem_guest_settle(&host->guests[i]);
		resident += mem_guest_check_counters(&host->guests[i]);
		file_pages += mem_guest_file_pages(&host->guests[i]);
		metadata += host->guests[i].space->metadata_bytes;
	}
	swap_stats(host->swap, &stats);
	cr_expect_eq(host->memory.budget.used,
		     host->base + metadata + resident * PAGE_SIZE + stats.pool_bytes,
		     "%lu used; %lu base, %lu metadata, %lu resident, %lu pool",
		     host->memory.budget.used, host->base, metadata, resident * PAGE_SIZE,
		     stats.pool_bytes);
	cr_expect_geq(file_pages + FILE_TOLERANCE, resident, "%lu, %lu", file_pages, resident);
	cr_expect_leq(file_pages, resident + FILE_TOLERANCE, "%lu, %lu", file_pages, resident);
	cr_expect_leq(host->memory.budget.peak, host->memory.budget.limit);
	cr_expect_leq(host->most_file_bytes,
		      host->memory.budget.limit + FILE_TOLERANCE * PAGE_SIZE);
}

static void finish(struct host *host)
{
	for (u32 i = 0; i < GUESTS; i++) {
		mem_guest_stop(&host->guests[i]);
		free(host->versions[i]);
	}
	swap_destroy(host->swap);
	cr_expect_eq(host->memory.budget.used, 0);
	memory_destroy(&host->memory);
}

/* Once nobody touches any memory. */
static void end_reclaim(struct host *host)
{
	for (u32 i = 0; i < GUESTS; i++) {
		if (!host->guests[i].failed)
			mem_guest_settle(&host->guests[i]);
	}
	reclaim_destroy(host->reclaim);
	clock_destroy(host->clock);
}

static void check_all(struct host *host)
{
	cr_expect_gt(join_users(host), OPERATIONS_LEAST);
	for (u32 i = 0; i < GUESTS; i++) {
		cr_assert_not(host->guests[i].failed, "%s", host->guests[i].why);
		check_content(host, i);
	}
	end_reclaim(host);
	check_figures(host);
}

Test(mem_property, guests_share_a_budget, .timeout = 60)
{
	struct host host = {0};

	run(&host, false);
	check_all(&host);
	finish(&host);
}

Test(mem_property, guests_come_and_go, .timeout = 60)
{
	struct host host = {0};

	run(&host, true);
	check_all(&host);
	cr_expect_gt(host.visits, 1);
	cr_expect_eq(host.visit_errors, 0);
	finish(&host);
}

Test(mem_property, writes_to_disk_fail_now_and_then, .timeout = 60)
{
	struct host host = {.write_errors = 7};

	run(&host, false);
	check_all(&host);
	cr_expect_gt(host.injected, 0);
	finish(&host);
}

/* Each page is tried once more by itself. */
Test(mem_property, reads_from_disk_fail_now_and_then, .timeout = 60)
{
	struct host host = {.read_errors = 100};

	run(&host, false);
	host.read_errors = 0;
	check_all(&host);
	cr_expect_gt(host.injected, 0);
	finish(&host);
}

/* Some guests may be lost, none may read what is wrong, and those that live are as they were. */
static void check_survivors(struct host *host)
{
	u64 failed = 0;

	host->area_fails = host->area_damaged = false;
	for (u32 i = 0; i < GUESTS; i++)
		failed += host->guests[i].failed;
	end_failed(host);
	join_users(host);
	for (u32 i = 0; i < GUESTS; i++) {
		if (!host->guests[i].failed)
			check_content(host, i);
	}
	end_reclaim(host);
	for (u32 i = 0; i < GUESTS; i++) {
		if (!host->guests[i].failed)
			mem_guest_check_counters(&host->guests[i]);
	}
	cr_expect_gt(host->injected, 0);
	cr_expect_gt(failed, 0);
	finish(host);
}

Test(mem_property, a_part_of_the_disk_cannot_be_read, .timeout = 60)
{
	struct host host = {.area_fails = true};

	run(&host, false);
	check_survivors(&host);
}

Test(mem_property, a_part_of_the_disk_is_damaged, .timeout = 60)
{
	struct host host = {.area_damaged = true};

	run(&host, false);
	check_survivors(&host);
}
