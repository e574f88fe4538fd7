/* SPDX-License-Identifier: Apache-2.0 */
/* The swap file: what is written comes back, and what does not is said, for that page alone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "swap/swapfile.h"
#include "swap_rig.h"

#define PAGES 1024U
#define BATCH 64U

/* Stores all pages on disk: noise goes there by itself. */
static void store_all(struct rig *rig, u32 pages)
{
	for (u32 i = 0; i < pages; i++) {
		struct page_word word;

		cr_assert(rig_hold(rig, i));
		rig->content[i] = i * 3;
		cr_assert_eq(rig_store(rig, rig->disk, i, &word), 0);
		rig_release(rig, i, word);
	}
}

Test(swap_disk, pages_round_trip)
{
	struct rig rig;

	rig_create(&rig, PAGES, 0, 64 * MiB, NULL);
	store_all(&rig, PAGES);
	for (u32 i = 0; i < PAGES; i++)
		cr_assert_eq(rig_fetch(&rig, i), 0);
	rig_destroy(&rig);
}

/* Stores without a flush after each: packed close together. */
static void store_packed(struct rig *rig, u32 pages, u64 step)
{
	u8 page[PAGE_SIZE];

	for (u32 i = 0; i < pages; i++) {
		struct page_store request = {.owner = {0, i}, .plain = page};

		rig->content[i] = i * step;
		page_fill(page, rig->content[i]);
		cr_assert_eq(rig->disk->ops->store(rig->disk, &request), 0);
		cr_assert(rig_hold(rig, i));
		rig_release(rig, i, page_word(PAGE_DISK, request.payload));
	}
	cr_assert_eq(rig->disk->ops->flush(rig->disk), 0);
}

static void load_batch(struct rig *rig, u32 first, u32 stride, u8 *buffers, int *results)
{
	u64 payloads[BATCH];

	for (u32 i = 0; i < BATCH; i++)
		payloads[i] = page_word_payload(rig_word(rig, first + i * stride));
	cr_assert_eq(rig_load_many(rig, rig->disk, payloads, BATCH, buffers, results),
		     -EINPROGRESS);
}

static void expect_batch(struct rig *rig, u32 first, u32 stride, const u8 *buffers,
			 const int *results)
{
	u8 expected[PAGE_SIZE];

	for (u32 i = 0; i < BATCH; i++) {
		cr_assert_eq(results[i], 0);
		page_fill(expected, rig->content[first + i * stride]);
		cr_assert(!memcmp(expected, buffers + i * PAGE_SIZE, PAGE_SIZE));
	}
}

Test(swap_disk, batches_come_back_whole_near_or_far)
{
	u8 *buffers = malloc(BATCH * PAGE_SIZE);
	int results[BATCH];
	struct rig rig;

	rig_create(&rig, PAGES, 0, 64 * MiB, NULL);
	store_packed(&rig, PAGES, 3);
	for (u32 stride = 1; stride <= PAGES / BATCH; stride++) {
		load_batch(&rig, 0, stride, buffers, results);
		expect_batch(&rig, 0, stride, buffers, results);
	}
	rig_destroy(&rig);
	free(buffers);
}

Test(swap_disk, neighbours_are_read_at_one_go)
{
	u8 *buffers = malloc(BATCH * PAGE_SIZE);
	struct swap_stats before, after;
	int results[BATCH];
	struct rig rig;

	rig_create(&rig, PAGES, 0, 64 * MiB, NULL);
	store_packed(&rig, PAGES, 2);
	swap_stats(rig.swap, &before);
	load_batch(&rig, 0, 1, buffers, results);
	swap_stats(rig.swap, &after);
	expect_batch(&rig, 0, 1, buffers, results);
	/* One page at a time would read two blocks for most. */
	cr_expect(after.read_bytes - before.read_bytes <
		  before.disk_blob_bytes / PAGES * BATCH * 5 / 4);
	rig_destroy(&rig);
	free(buffers);
}

struct load_thread {
	struct rig *rig;
	u32 seed;
};

static void *load_many(void *argument)
{
	struct load_thread *self = argument;
	u8 *buffers = malloc(BATCH * PAGE_SIZE);
	int results[BATCH];

	for (u32 i = 0; i < 50; i++) {
		u32 stride = 1 + (i + self->seed) % 4, first = (i * 7 + self->seed * 31) % 512;

		load_batch(self->rig, first, stride, buffers, results);
		expect_batch(self->rig, first, stride, buffers, results);
	}
	free(buffers);
	return NULL;
}

/* More reads than there are buffers: they wait in line. */
Test(swap_disk, many_threads_load_at_once)
{
	struct load_thread threads[8];
	pthread_t ids[ARRAY_SIZE(threads)];
	struct rig rig;

	rig_create(&rig, PAGES, 0, 64 * MiB, NULL);
	store_packed(&rig, PAGES, 3);
	for (u32 i = 0; i < ARRAY_SIZE(threads); i++) {
		threads[i] = (struct load_thread){&rig, i};
		cr_assert_eq(pthread_create(&ids[i], NULL, load_many, &threads[i]), 0);
	}
	for (u32 i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(ids[i], NULL);
	rig_destroy(&rig);
}

Test(swap_disk, full_is_said_and_room_is_found_again)
{
	struct swap_stats stats;
	struct rig rig;
	int result = 0;
	u32 stored = 0;

	log_set_level(LOG_LEVEL_ERROR);
	rig_create(&rig, PAGES, 0, 2 * MiB, NULL);
	for (u32 i = 0; i < PAGES && !result; i++) {
		rig.content[i] = i * 2 + CONTENT_NOISE;
		result = rig_evict(&rig, i);
		stored += !result;
	}
	cr_expect_eq(result, -ENOSPC);
	/* Seven extents but the reserve, 62 raw pages in each; less where a flush cut it. */
	cr_expect(stored > 90, "%u", stored);
	swap_stats(rig.swap, &stats);
	cr_expect(stats.swap_full > 0);
	for (u32 i = 0; i < stored; i++)
		cr_assert_eq(rig_fetch(&rig, i), 0);
	cr_expect_eq(rig_evict(&rig, 0), 0);
	rig_destroy(&rig);
}

/* Injected faults: which transfers, and what happens to them. */
struct fault {
	struct swap_inject inject;
	enum swap_io op;
	_Atomic bool armed;
	u64 offset; /* reads and writes that cover this byte */
	s32 result; /* -errno, or: */
	u32 keep;   /* bytes that arrive, the others are lost unsaid */
	bool flip;  /* the byte is changed */
};

static bool struck(struct fault *fault, enum swap_io op, u64 offset, u32 length)
{
	return fault->armed && op == fault->op && fault->offset >= offset &&
	       fault->offset < offset + length;
}

static void before(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		   u32 length)
{
	struct fault *fault = container_of(inject, struct fault, inject);

	if (op == SWAP_IO_WRITE && struck(fault, op, offset, length) && fault->flip)
		((u8 *)buffer)[fault->offset - offset] ^= 0x40;
}

static s32 after(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer, u32 length,
		 s32 result)
{
	struct fault *fault = container_of(inject, struct fault, inject);

	if (!struck(fault, op, offset, length) || fault->flip)
		return result;
	if (fault->result)
		return fault->result;
	/* A torn transfer: it says it is complete, its second part is not there. */
	if (op == SWAP_IO_READ && fault->keep)
		memset((u8 *)buffer + fault->keep, 0, length - fault->keep);
	else if (op == SWAP_IO_READ)
		return (s32)(fault->offset - offset);
	return result;
}

#define FAULT(...)                                                                                 \
	{                                                                                          \
		.inject = {before, after}, __VA_ARGS__                                             \
	}

/* Loads a batch in which one page is struck; all others must come back. */
static void expect_one_lost(struct fault *fault, int error)
{
	u8 *buffers = malloc(BATCH * PAGE_SIZE), expected[PAGE_SIZE];
	int results[BATCH];
	struct rig rig;
	u32 lost = 21;

	rig_create(&rig, BATCH, 0, 64 * MiB, &fault->inject);
	store_packed(&rig, BATCH, 3);
	fault->offset = place_offset(page_word_payload(rig_word(&rig, lost))) + 2000;
	fault->armed = true;
	load_batch(&rig, 0, 1, buffers, results);
	for (u32 i = 0; i < BATCH; i++) {
		page_fill(expected, rig.content[i]);
		if (results[i])
			cr_expect_eq(results[i], error, "page %u: %d", i, results[i]);
		else
			cr_expect(!memcmp(expected, buffers + i * PAGE_SIZE, PAGE_SIZE));
		/* A block holds parts of up to three blobs. */
		if (i < lost - 2 || i > lost + 2)
			cr_expect_eq(results[i], 0, "page %u: %d", i, results[i]);
	}
	cr_expect_eq(results[lost], error);
	fault->armed = false;
	rig_destroy(&rig);
	free(buffers);
}

Test(swap_disk, a_read_error_costs_the_pages_concerned)
{
	struct fault fault = FAULT(.op = SWAP_IO_READ, .result = -EIO);

	expect_one_lost(&fault, -EIO);
}

Test(swap_disk, a_short_read_costs_the_pages_concerned)
{
	struct fault fault = FAULT(.op = SWAP_IO_READ);

	expect_one_lost(&fault, -EIO);
}

Test(swap_disk, a_torn_block_costs_the_pages_concerned)
{
	struct fault fault = FAULT(.op = SWAP_IO_READ, .keep = 512);

	expect_one_lost(&fault, -EBADMSG);
}

Test(swap_disk, a_bit_flipped_on_the_way_to_disk_is_found)
{
	struct fault fault = FAULT(.op = SWAP_IO_WRITE, .flip = true, .armed = true,
				   .offset = EXTENT_BYTES + 64);
	struct rig rig;

	rig_create(&rig, 2, 0, 64 * MiB, &fault.inject);
	store_packed(&rig, 2, 3);
	cr_expect_eq(rig_fetch(&rig, 0), -EBADMSG);
	cr_expect_eq(rig_fetch(&rig, 1), 0);
	rig_destroy(&rig);
}

/* A patient load of the page, with what the rig's inject does to it. */
static int load_patiently(struct rig *rig, u32 index, u8 *page)
{
	struct page_load_slot slot = {
		.payload = page_word_payload(rig_word(rig, index)),
		.buffer = page,
		.result = 1,
	};
	struct page_load load = {.count = 1, .patient = true, .slots = &slot};

	cr_assert_eq(rig->disk->ops->load(rig->disk, &load), 0, "it is done when it returns");
	return slot.result;
}

Test(swap_disk, a_patient_load_is_done_when_it_returns)
{
	struct fault fault = FAULT(.op = SWAP_IO_READ, .result = -EIO);
	u8 page[PAGE_SIZE], expected[PAGE_SIZE];
	struct rig rig;

	rig_create(&rig, BATCH, 0, 64 * MiB, &fault.inject);
	store_packed(&rig, BATCH, 3);
	for (u32 i = 0; i < BATCH; i++) {
		cr_expect_eq(load_patiently(&rig, i, page), 0);
		page_fill(expected, rig.content[i]);
		cr_expect(!memcmp(page, expected, PAGE_SIZE), "page %u", i);
	}
	fault.offset = place_offset(page_word_payload(rig_word(&rig, 9)));
	fault.armed = true;
	cr_expect_eq(load_patiently(&rig, 9, page), -EIO);
	fault.armed = false;
	cr_expect_eq(load_patiently(&rig, 9, page), 0, "and nothing was lost by that");
	rig_destroy(&rig);
}

Test(swap_disk, a_failed_write_is_told_by_flush)
{
	struct fault fault =
		FAULT(.op = SWAP_IO_WRITE, .result = -EIO, .armed = true, .offset = EXTENT_BYTES);
	struct swap_stats stats;
	struct rig rig;

	rig_create(&rig, 2, 0, 64 * MiB, &fault.inject);
	rig.content[0] = CONTENT_NOISE;
	cr_expect_eq(rig_evict(&rig, 0), -EIO);
	cr_expect_eq(page_word_state(rig_word(&rig, 0)), PAGE_RESIDENT);
	swap_stats(rig.swap, &stats);
	cr_expect_eq(stats.io_errors, 1);
	fault.armed = false;
	cr_expect_eq(rig_evict(&rig, 0), 0);
	cr_expect_eq(rig_fetch(&rig, 0), 0);
	rig_destroy(&rig);
}

Test(swap_disk, the_file_is_gone_at_once_unless_kept)
{
	struct swapfile_options options = {.path = RIG_FILE ".keep", .bytes = 4 * MiB};
	struct swapfile *file;
	struct stat stat_buffer;

	mkdir("build", 0777);
	unlink(options.path);
	cr_assert_eq(swapfile_create(&options, &file), 0);
	cr_expect(stat(options.path, &stat_buffer) < 0);
	swapfile_destroy(file);

	options.keep = true;
	for (u32 i = 0; i < 2; i++) {
		cr_assert_eq(swapfile_create(&options, &file), 0);
		swapfile_destroy(file);
		cr_assert_eq(stat(options.path, &stat_buffer), 0);
		cr_expect_eq(stat_buffer.st_size, 4 * MiB);
	}
	unlink(options.path);
}

Test(swap_disk, somebody_elses_file_is_left_alone)
{
	struct swapfile_options options = {.path = RIG_FILE ".other", .bytes = 4 * MiB};
	struct swapfile *file;
	char text[16] = "";
	int fd;

	mkdir("build", 0777);
	fd = open(options.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	cr_assert_eq(write(fd, "precious", 8), 8);
	cr_expect_eq(swapfile_create(&options, &file), -EEXIST);
	cr_expect_eq(pread(fd, text, sizeof(text), 0), 8);
	cr_expect_str_eq(text, "precious");
	close(fd);
	unlink(options.path);
}

Test(swap_disk, a_file_in_use_is_refused)
{
	struct swapfile_options options = {
		.path = RIG_FILE ".used", .bytes = 4 * MiB, .keep = true};
	struct swapfile *file, *other;

	mkdir("build", 0777);
	unlink(options.path);
	cr_assert_eq(swapfile_create(&options, &file), 0);
	cr_expect_eq(swapfile_create(&options, &other), -EBUSY);
	swapfile_destroy(file);
	unlink(options.path);
}

/* How many reads are under way at once. */
struct counting {
	struct swap_inject inject;
	_Atomic u32 now, most;
};

static void count_begin(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
			u32 length)
{
	struct counting *counting = container_of(inject, struct counting, inject);
	u32 now;

	(void)offset, (void)buffer, (void)length;
	if (op != SWAP_IO_READ)
		return;
	now = ++counting->now;
	if (now > counting->most)
		counting->most = now;
}

static s32 count_end(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		     u32 length, s32 result)
{
	struct counting *counting = container_of(inject, struct counting, inject);

	(void)offset, (void)buffer, (void)length;
	counting->now -= op == SWAP_IO_READ;
	return result;
}

/* Loads pages that lie far apart. Returns how many reads were under way at once. */
static u32 most_at_once(u32 depth)
{
	struct counting counting = {.inject = {count_begin, count_end}};
	u8 *buffers = malloc(BATCH * PAGE_SIZE);
	int results[BATCH];
	struct rig rig;

	rig_create(&rig, PAGES, 0, 64 * MiB, &counting.inject);
	store_packed(&rig, PAGES, 3);
	cr_assert_eq(swap_set_io_depth(rig.swap, depth), 0);
	for (u32 i = 0; i < 20; i++) {
		load_batch(&rig, 0, PAGES / BATCH, buffers, results);
		expect_batch(&rig, 0, PAGES / BATCH, buffers, results);
	}
	rig_destroy(&rig);
	free(buffers);
	return counting.most;
}

/* Buffers are memory of the budget's, and must leave most of a small one to guests. */
Test(swap_disk, a_small_budget_has_few_buffers)
{
	const struct {
		u64 budget;
		u32 reads, writes;
	} hosts[] = {{16 * MiB, 4, 4}, {192 * MiB, 19, 4}, {384 * MiB, 38, 6}, {GiB, 64, 8}};
	char path[64];
	u64 rest = 0;

	mkdir("build", 0777);
	snprintf(path, sizeof(path), "%s.%d", RIG_FILE, getpid());
	for (u32 i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct memory memory;
		struct swap_options options = {
			.path = path, .file_bytes = 64 * MiB, .memory = &memory};
		struct swap *swap;
		u64 buffers = hosts[i].reads * 40 * KiB + hosts[i].writes * 256 * KiB;

		memory_init(&memory, hosts[i].budget);
		cr_assert_eq(swap_create(&options, &swap), 0);
		if (!i)
			rest = memory.budget.used - buffers;
		cr_expect_eq(memory.budget.used, rest + buffers, "budget of %lu", hosts[i].budget);
		swap_destroy(swap);
		memory_destroy(&memory);
	}
}

Test(swap_disk, no_more_reads_are_under_way_than_is_said)
{
	cr_expect_eq(most_at_once(1), 1);
	cr_expect_leq(most_at_once(3), 3);
	cr_expect_gt(most_at_once(64), 3, "without a limit there are more");
}

/* In which order reads begin, while the first of them is not let end. */
struct ordered {
	struct swap_inject inject;
	_Atomic u32 begun;
	u64 offset[256];
	sem_t first;
};

static void note_order(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		       u32 length)
{
	struct ordered *ordered = container_of(inject, struct ordered, inject);

	(void)buffer, (void)length;
	if (op == SWAP_IO_READ)
		ordered->offset[ordered->begun++] = offset;
}

static s32 hold_first(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		      u32 length, s32 result)
{
	struct ordered *ordered = container_of(inject, struct ordered, inject);

	(void)buffer, (void)length;
	if (op == SWAP_IO_READ && offset == ordered->offset[0]) {
		sem_wait(&ordered->first);
		sem_post(&ordered->first);
	}
	return result;
}

/* Loads of one page each, far from one another, whose ends are not waited for. */
struct lone_load {
	struct page_load load;
	struct page_load_slot slot;
	u8 page[PAGE_SIZE];
	sem_t *ends;
};

static void lone_done(struct page_load *load)
{
	sem_post(container_of(load, struct lone_load, load)->ends);
}

static u64 load_lone(struct rig *rig, struct lone_load *lone, u32 index, bool ahead, sem_t *ends)
{
	u64 place = page_word_payload(rig_word(rig, index));

	lone->slot = (struct page_load_slot){.payload = place, .buffer = lone->page};
	lone->load = (struct page_load){
		.count = 1, .ahead = ahead, .slots = &lone->slot, .done = lone_done};
	lone->ends = ends;
	cr_assert_eq(rig->disk->ops->load(rig->disk, &lone->load), -EINPROGRESS);
	return ALIGN_DOWN(place_offset(place), SWAP_BLOCK);
}

/* Behind a read that takes long, one that nobody waits for, then forty that somebody does. */
Test(swap_disk, what_is_waited_for_is_read_first_but_not_for_ever)
{
	enum { LOADS = 42, AHEAD = 1 };
	struct ordered ordered = {.inject = {note_order, hold_first}};
	struct lone_load *loads = calloc(LOADS, sizeof(*loads));
	u64 ahead = 0;
	u32 place = 0;
	struct rig rig;
	sem_t ends;

	sem_init(&ends, 0, 0);
	sem_init(&ordered.first, 0, 0);
	rig_create(&rig, PAGES, 0, 64 * MiB, &ordered.inject);
	store_packed(&rig, PAGES, 3);
	cr_assert_eq(swap_set_io_depth(rig.swap, 1), 0);
	for (u32 i = 0; i < LOADS; i++) {
		u64 offset = load_lone(&rig, &loads[i], i * 16, i == AHEAD, &ends);

		if (i == AHEAD)
			ahead = offset;
	}
	cr_expect_eq(ordered.begun, 1);
	sem_post(&ordered.first);
	for (u32 i = 0; i < LOADS; i++)
		sem_wait(&ends);
	while (ordered.offset[place] != ahead)
		place++;
	cr_expect_eq(place, 5, "it was the %uth", place);
	rig_destroy(&rig);
	free(loads);
}

/* ... and a quarter of what may be under way is enough for it. */
Test(swap_disk, what_nobody_waits_for_leaves_room)
{
	enum { LOADS = 8 };
	struct ordered ordered = {.inject = {note_order, hold_first}};
	struct lone_load *loads = calloc(LOADS + 1, sizeof(*loads));
	struct rig rig;
	sem_t ends;
	u64 waited;

	sem_init(&ends, 0, 0);
	sem_init(&ordered.first, 0, 0);
	rig_create(&rig, PAGES, 0, 64 * MiB, &ordered.inject);
	store_packed(&rig, PAGES, 3);
	cr_assert_eq(swap_set_io_depth(rig.swap, 4), 0);
	for (u32 i = 0; i < LOADS; i++)
		load_lone(&rig, &loads[i], i * 16, true, &ends);
	cr_expect_eq(ordered.begun, 1, "%u are under way", ordered.begun);
	waited = load_lone(&rig, &loads[LOADS], LOADS * 16, false, &ends);
	cr_expect_eq(ordered.begun, 2);
	cr_expect_eq(ordered.offset[1], waited);
	sem_post(&ordered.first);
	for (u32 i = 0; i <= LOADS; i++)
		sem_wait(&ends);
	rig_destroy(&rig);
	free(loads);
}
