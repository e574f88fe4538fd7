/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of large pages: what stays of a region that loses a part, however the kernel holds on to it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mem/drop.h"
#include "mem/split.h"
#include "mem/uffd.h"
#include "tests/unit/mem_rig.h"

#define BYTES (8 * MiB)
#define PAGES (BYTES / PAGE_SIZE)

static void start(struct mem_rig *rig)
{
	mem_rig_start(rig, BYTES, 64 * MiB, false);
	mem_guest_write_all(&rig->guest, 1);
	mem_guest_settle(&rig->guest);
}

static bool is_large(struct mem_guest *guest, u64 region)
{
	bool large;

	pthread_mutex_lock(&guest->space->regions[region].lock);
	large = guest->space->regions[region].large;
	pthread_mutex_unlock(&guest->space->regions[region].lock);
	return large;
}

/* Skips the test where the host has no huge pages for us: the kernel splits what is mapped by one. */
static void need_huge(struct mem_rig *rig)
{
	bool huge = rig->guest.space->regions[0].huge;

	if (!huge) {
		mem_rig_stop(rig);
		cr_skip_test("no huge pages in shared memory");
	}
}

/* Holds on to a page as KVM does while it maps it: a pipe has a reference to it. */
static void pin(int pipes[2], struct mem_guest *guest, u64 page)
{
	struct iovec piece = {guest->ram + page * PAGE_SIZE, PAGE_SIZE};

	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(vmsplice(pipes[1], &piece, 1, 0), (ssize_t)PAGE_SIZE);
}

static void unpin(int pipes[2])
{
	close(pipes[0]);
	close(pipes[1]);
}

/* What the whole mechanism is for. */
Test(mem_split, a_part_of_a_large_page_in_use_cannot_be_punched_out)
{
	struct mem_rig rig;
	int pipes[2];
	u64 before;

	start(&rig);
	need_huge(&rig);
	before = mem_guest_file_pages(&rig.guest);
	pin(pipes, &rig.guest, 7);
	cr_assert_eq(fallocate(rig.guest.space->options.ram,
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64 * KiB),
		     0);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), before);
	cr_expect(region_has_rest(rig.guest.space, 0, GROUP_PAGES));
	cr_expect(mem_guest_check(&rig.guest, 4, 0), "the kernel made it zero all the same");
	cr_expect(mem_guest_check(&rig.guest, GROUP_PAGES, 1));
	unpin(pipes);
	mem_rig_stop(&rig);
}

Test(mem_split, what_leaves_a_large_page_in_use_comes_back_as_it_was)
{
	struct mem_rig rig;
	int pipes[2];

	start(&rig);
	need_huge(&rig);
	pin(pipes, &rig.guest, 7);
	cr_expect_eq(evict_pages(rig.guest.space, 0, REGION_PAGES, 1), GROUP_PAGES);
	cr_expect_not(is_large(&rig.guest, 0));
	cr_expect(is_large(&rig.guest, 1));
	cr_expect_eq(mem_guest_file_pages(&rig.guest), PAGES - GROUP_PAGES);
	mem_rig_check_counters(&rig);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 1), 0);
	mem_guest_write_all(&rig.guest, 2);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	unpin(pipes);
	mem_rig_stop(&rig);
}

/* Not between two regions of one look, but between two looks. */
Test(mem_split, the_buffer_is_given_back_when_it_was_not_needed)
{
	struct mem_rig rig;

	start(&rig);
	need_huge(&rig);
	for (u64 region = 0; region < 2; region++) {
		cr_expect_eq(evict_pages(rig.guest.space, region * REGION_PAGES, REGION_PAGES, 1),
			     GROUP_PAGES);
		split_trim(&rig.memory);
		cr_expect_not_null(rig.memory.split_buffer);
		split_trim(&rig.memory);
		cr_expect_null(rig.memory.split_buffer);
	}
	cr_expect_eq(mem_guest_check_all(&rig.guest, 1), 0);
	mem_rig_stop(&rig);
}

Test(mem_split, what_is_dropped_of_a_large_page_in_use_reads_zero)
{
	struct mem_rig rig;
	int pipes[2];

	start(&rig);
	need_huge(&rig);
	pin(pipes, &rig.guest, 7);
	drop_pages(rig.guest.space, 0, GROUP_PAGES, PAGE_BALLOONED);
	mem_rig_check_counters(&rig);
	drop_return(rig.guest.space, 0, GROUP_PAGES);
	for (u64 i = 0; i < PAGES; i++)
		cr_assert(mem_guest_check(&rig.guest, i, i >= GROUP_PAGES), "page %lu", i);
	unpin(pipes);
	mem_guest_write_all(&rig.guest, 2);
	mem_guest_evict_all(&rig.guest);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}

Test(mem_split, waits_for_nobody_at_work_in_the_region)
{
	struct mem_rig rig;
	struct region *region;

	start(&rig);
	need_huge(&rig);
	region = &rig.guest.space->regions[0];
	pthread_mutex_lock(&region->lock);
	cr_assert_eq(region_arm(rig.guest.space, 0), 0);
	page_hold(&rig.guest.space->table, 3);
	cr_expect_eq(split_all(rig.guest.space, 0), -EBUSY);
	cr_expect(region->large);
	page_release(&rig.guest.space->table, 3);
	cr_expect_eq(split_all(rig.guest.space, 0), 0);
	cr_expect_not(region->large);
	pthread_mutex_unlock(&region->lock);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 1), 0);
	mem_rig_stop(&rig);
}

/* ---- while the guest goes on ---- */

#define WRITERS 3U

struct writer {
	struct mem_guest *guest;
	u32 number;
	_Atomic bool *stop;
	u64 wrong;
	pthread_t thread;
};

/* Each writes, and checks, every third page. */
static void *keep_writing(void *argument)
{
	struct writer *writer = argument;
	u32 version = 1;

	while (!atomic_load(writer->stop)) {
		for (u64 i = writer->number; i < PAGES; i += WRITERS) {
			writer->wrong += !mem_guest_check(writer->guest, i, version);
			mem_guest_write(writer->guest, i, version + 1);
			writer->wrong += !mem_guest_check(writer->guest, i, version + 1);
		}
		version++;
	}
	return NULL;
}

/* A region that is whole again is made huge again, so that there is something to split. */
static void make_huge(struct mem_guest *guest, u64 region)
{
	madvise(guest->ram + region * REGION_SIZE, REGION_SIZE, MADV_POPULATE_READ);
	region_collapse(guest->space, region * REGION_PAGES);
}

static u64 split_while_writing(struct mem_guest *guest, u32 rounds)
{
	u64 split = 0;

	for (u32 round = 0; round < rounds; round++) {
		u64 region = round % (PAGES / REGION_PAGES);
		struct region *at = &guest->space->regions[region];

		if (round % 3 == 0)
			evict_pages(guest->space, region * REGION_PAGES, REGION_PAGES,
				    0x11111111U << round % 4);
		pthread_mutex_lock(&at->lock);
		if (at->huge && !region_arm(guest->space, region * REGION_PAGES))
			split += !split_all(guest->space, region * REGION_PAGES);
		pthread_mutex_unlock(&at->lock);
		make_huge(guest, region);
	}
	return split;
}

struct writers {
	struct writer each[WRITERS];
	_Atomic bool stop;
};

static void start_writers(struct writers *writers, struct mem_rig *rig, bool small)
{
	struct mem_guest_options options = {.bytes = BYTES, .small = small, .pidfd = true};

	mem_rig_start_with(rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig->guest, 1);
	mem_guest_settle(&rig->guest);
	if (!small)
		need_huge(rig);
	atomic_init(&writers->stop, false);
	for (u32 i = 0; i < WRITERS; i++) {
		struct writer *writer = &writers->each[i];

		*writer = (struct writer){&rig->guest, i, &writers->stop, 0, 0};
		cr_assert_eq(pthread_create(&writer->thread, NULL, keep_writing, writer), 0);
	}
}

static void stop_writers(struct writers *writers, struct mem_rig *rig)
{
	atomic_store(&writers->stop, true);
	for (u32 i = 0; i < WRITERS; i++) {
		struct writer *writer = &writers->each[i];

		pthread_join(writer->thread, NULL);
		cr_expect_eq(writer->wrong, 0, "%lu reads of writer %u were wrong", writer->wrong,
			     i);
	}
	cr_expect_not(rig->guest.failed, "%s", rig->guest.why);
	mem_rig_check_counters(rig);
	mem_rig_stop(rig);
}

Test(mem_split, guests_verify_while_their_pages_are_split)
{
	struct writers writers;
	struct mem_rig rig;

	start_writers(&writers, &rig, false);
	cr_expect_gt(split_while_writing(&rig.guest, 120), 0);
	stop_writers(&writers, &rig);
}

/* ---- small pages, of which many leave that are no neighbours ---- */

#define EVERY_OTHER 0x5555555555555555UL

static s64 evict_some(struct mem_guest *guest, u64 region, const u64 pages[REGION_PAGES / 64])
{
	u32 filled;

	return evict_pages_to(guest->space, region * REGION_PAGES, pages,
			      guest->space->memory->stores, &filled);
}

static s64 evict_scattered(struct mem_guest *guest, u64 region, u64 pattern)
{
	u64 pages[REGION_PAGES / 64];

	for (u32 i = 0; i < REGION_PAGES / 64; i++)
		pages[i] = pattern;
	return evict_some(guest, region, pages);
}

/* The kernel's word on a page of the guest's mapping: Documentation/admin-guide/mm/pagemap.rst. */
static u64 page_entry(const struct mem_guest *guest, u64 page)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	u64 entry = 0, hva = (u64)(uintptr_t)guest->ram + page * PAGE_SIZE;

	cr_assert_eq(pread(file, &entry, sizeof(entry), (off_t)(hva / PAGE_SIZE * sizeof(entry))),
		     (ssize_t)sizeof(entry));
	close(file);
	return entry;
}

static bool is_mapped(const struct mem_guest *guest, u64 page)
{
	return page_entry(guest, page) >> 63;
}

static bool is_protected(const struct mem_guest *guest, u64 page)
{
	return page_entry(guest, page) >> 57 & 1;
}

Test(mem_split, scattered_pages_leave_by_one_hole_and_the_others_are_put_back)
{
	struct mem_guest_options options = {.bytes = BYTES, .small = true};
	struct mem_rig rig;

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	cr_expect_eq(evict_scattered(&rig.guest, 0, EVERY_OTHER), REGION_PAGES / 2);
	cr_expect_eq(mem_guest_file_pages(&rig.guest), PAGES - REGION_PAGES / 2);
	cr_expect_not(is_mapped(&rig.guest, 1));
	/* A few holes are made one by one, and some in a corner: the others stay where they are. */
	cr_expect_eq(evict_scattered(&rig.guest, 1, 1UL << 7), REGION_PAGES / 64);
	cr_expect(is_mapped(&rig.guest, REGION_PAGES + 6));
	cr_expect_eq(evict_some(&rig.guest, 2, (const u64[REGION_PAGES / 64]){EVERY_OTHER}), 32);
	cr_expect(is_mapped(&rig.guest, 2 * REGION_PAGES + 1));
	mem_rig_check_counters(&rig);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 1), 0);
	mem_guest_write_all(&rig.guest, 2);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_stop(&rig);
}

Test(mem_split, guests_verify_while_scattered_pages_leave)
{
	struct writers writers;
	u64 random = 1, left = 0;
	struct mem_rig rig;

	start_writers(&writers, &rig, true);
	for (u32 round = 0; round < 400; round++) {
		u64 pattern = round % 2 ? mem_random(&random) : EVERY_OTHER << round / 2 % 2;
		s64 went = evict_scattered(&rig.guest, round % (PAGES / REGION_PAGES), pattern);

		left += (u64)MAX(went, 0);
	}
	cr_expect_gt(left, REGION_PAGES);
	stop_writers(&writers, &rig);
}

struct counter {
	volatile u64 *word;
	_Atomic bool stop;
	u64 lost;
};

static void *keep_counting(void *argument)
{
	struct counter *counter = argument;
	u64 count = *counter->word;

	while (!atomic_load(&counter->stop)) {
		counter->lost += *counter->word != count;
		*counter->word = ++count;
	}
	return NULL;
}

Test(mem_split, no_write_to_a_page_that_is_put_back_is_lost)
{
	struct mem_guest_options options = {.bytes = BYTES, .small = true};
	struct counter counter;
	struct mem_rig rig;
	pthread_t thread;

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	counter = (struct counter){(volatile u64 *)(rig.guest.ram + PAGE_SIZE), false, 0};
	pthread_create(&thread, NULL, keep_counting, &counter);
	for (u32 round = 0; round < 100; round++) {
		evict_scattered(&rig.guest, 0, EVERY_OTHER);
		for (u64 i = 0; i < REGION_PAGES; i += 2)
			(void)*(volatile u8 *)(rig.guest.ram + i * PAGE_SIZE);
	}
	atomic_store(&counter.stop, true);
	pthread_join(thread, NULL);
	cr_expect_eq(counter.lost, 0, "%lu times it was not as written", counter.lost);
	mem_rig_stop(&rig);
}

Test(mem_split, what_is_frozen_stays_so_when_the_file_cannot_be_read)
{
	struct mem_guest_options options = {.bytes = BYTES, .small = true};
	u64 stay[REGION_PAGES / 64], held[REGION_PAGES / 64] = {1UL << 3};
	struct mem_rig rig;
	struct region *region;
	char path[64];
	int ram;

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	for (u32 i = 0; i < REGION_PAGES / 64; i++)
		stay[i] = ~held[i];
	ram = rig.guest.space->options.ram;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ram);
	region = &rig.guest.space->regions[0];
	pthread_mutex_lock(&region->lock);
	cr_assert_eq(region_arm(rig.guest.space, 0), 0);
	page_hold(&rig.guest.space->table, 3);
	cr_assert_eq(uffd_protect(rig.guest.uffd, space_hva(rig.guest.space, 3), PAGE_SIZE), 0);
	rig.guest.space->options.ram = open(path, O_WRONLY | O_CLOEXEC);
	cr_expect_eq(split_region(rig.guest.space, 0, stay, held), -EIO);
	close(rig.guest.space->options.ram);
	rig.guest.space->options.ram = ram;
	cr_expect(is_protected(&rig.guest, 3));
	page_release(&rig.guest.space->table, 3);
	pthread_mutex_unlock(&region->lock);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 1), 0);
	mem_guest_write_all(&rig.guest, 2);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 2), 0);
	mem_rig_stop(&rig);
}
