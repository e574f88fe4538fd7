/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon device under drivers that keep the specification (Virtio 1.2, 5.5), and hostile ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "balloon/device.h"
#include "lib/clock.h"
#include "tests/unit/virtio_rig.h"

#define FEATURE(name) (1ULL << BALLOON_F_##name)
#define ALL_FEATURES  ((1ULL << BALLOON_FEATURES) - 1)
#define BUFFER(n)     (RIG_BUFFERS + (n)*PAGE_SIZE)
#define FRAMES	      4096U

/* The owner of the memory: notes what it is told, and what the driver had seen by then. */
static struct owner {
	struct balloon_host host;
	u8 dropped[BALLOON_DROP_RESET + 1][FRAMES]; /* how often each frame */
	u32 calls[BALLOON_DROP_RESET + 1];
	u32 round;
	u64 frames; /* dropped in all, RAM or not */
	u16 used_at_drop;
	u32 watched; /* queue */
	struct balloon_status status;
	u32 changes;
	void (*dropping)(void);
	int answer;
} owner;

static struct virtio_rig rig;
static struct balloon *balloon;

static int owner_drop(struct balloon_host *host, enum balloon_drop what, u32 round,
		      const struct balloon_run *runs, u32 count)
{
	u64 last = 0;

	(void)host;
	owner.round = round;
	owner.calls[what]++;
	owner.used_at_drop = virtio_rig_used(&rig, owner.watched)->index;
	for (u32 i = 0; i < count; i++) {
		cr_assert(runs[i].count && (!i || runs[i].first > last), "ascending, disjoint");
		last = runs[i].first + runs[i].count;
		owner.frames += runs[i].count;
		for (u64 j = runs[i].first; j < MIN(last, (u64)FRAMES); j++)
			owner.dropped[what][j]++;
	}
	if (owner.dropping)
		owner.dropping();
	return owner.answer;
}

static void owner_changed(struct balloon_host *host, const struct balloon_status *status)
{
	(void)host;
	owner.status = *status;
	owner.changes++;
}

static const struct balloon_host_ops owner_ops = {owner_drop, owner_changed};

static void setup(void)
{
	owner = (struct owner){.host = {&owner_ops}};
	virtio_rig_init(&rig);
	cr_assert_eq(balloon_create(&rig.host, &owner.host, &balloon), 0);
	rig.mmio = balloon_mmio(balloon);
}

static void teardown(void)
{
	balloon_destroy(balloon);
	virtio_rig_free(&rig);
}

TestSuite(balloon_device, .init = setup, .fini = teardown);

static void start(u64 features)
{
	cr_assert(virtio_rig_start(&rig, features, BALLOON_QUEUES));
}

static void give(u32 queue, const u32 *frames, u32 count)
{
	memcpy(rig.ram + BUFFER(0), frames, count * sizeof(*frames));
	virtio_rig_add(&rig, queue, BUFFER(0), count * sizeof(*frames), 0);
	balloon_serve(balloon);
}

static void write_config(u32 offset, u32 value)
{
	virtio_mmio_write(rig.mmio, VIRTIO_MMIO_CONFIG + offset, 4, value);
}

static u32 read_config(u32 offset)
{
	return (u32)virtio_mmio_read(rig.mmio, VIRTIO_MMIO_CONFIG + offset, 4);
}

Test(balloon_device, offers_all_features)
{
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_DEVICE_ID), 5);
	cr_assert(virtio_rig_negotiate(&rig, ALL_FEATURES));
}

Test(balloon_device, inflated_frames_are_dropped_before_the_buffer_is_used)
{
	static const u32 frames[] = {9, 3, 4, 5, 20};

	start(FEATURE(MUST_TELL_HOST));
	give(BALLOON_INFLATE_QUEUE, frames, ARRAY_SIZE(frames));
	cr_assert_eq(owner.calls[BALLOON_DROP_INFLATE], 1);
	cr_assert_eq(owner.used_at_drop, 0);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 1);
	for (u32 i = 0; i < ARRAY_SIZE(frames); i++)
		cr_assert_eq(owner.dropped[BALLOON_DROP_INFLATE][frames[i]], 1);
}

Test(balloon_device, deflated_frames_are_told_before_the_buffer_is_used)
{
	static const u32 frames[] = {8, 9};

	owner.watched = BALLOON_DEFLATE_QUEUE;
	start(FEATURE(MUST_TELL_HOST));
	give(BALLOON_DEFLATE_QUEUE, frames, ARRAY_SIZE(frames));
	cr_assert_eq(owner.dropped[BALLOON_DROP_DEFLATE][8], 1);
	cr_assert_eq(owner.used_at_drop, 0);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_DEFLATE_QUEUE)->index, 1);
}

Test(balloon_device, frames_given_twice_are_dropped_once)
{
	static const u32 frames[] = {7, 7, 3, 7, 3, 8};

	start(0);
	give(BALLOON_INFLATE_QUEUE, frames, ARRAY_SIZE(frames));
	cr_assert_eq(owner.frames, 3);
}

Test(balloon_device, frames_outside_of_memory_are_passed_on_as_numbers_alone)
{
	static const u32 frames[] = {UINT32_MAX, 0, UINT32_MAX - 1, 0x80000000};

	start(0);
	give(BALLOON_INFLATE_QUEUE, frames, ARRAY_SIZE(frames));
	cr_assert_eq(owner.frames, 4);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 1);
}

Test(balloon_device, odd_lengths_lose_their_odd_end)
{
	start(0);
	*(u32 *)(rig.ram + BUFFER(0)) = 11;
	virtio_rig_add(&rig, BALLOON_INFLATE_QUEUE, BUFFER(0), 7, 0);
	virtio_rig_add(&rig, BALLOON_INFLATE_QUEUE, BUFFER(0), 3, 0);
	virtio_rig_add(&rig, BALLOON_INFLATE_QUEUE, BUFFER(0), 64, VRING_DESC_WRITE);
	balloon_serve(balloon);
	cr_assert_eq(owner.frames, 1);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 3);
}

Test(balloon_device, long_buffers_are_taken_in_pieces)
{
	u32 *frames = (u32 *)(rig.ram + BUFFER(0));
	u32 count = (RIG_BYTES - RIG_BUFFERS) / sizeof(*frames);

	start(0);
	for (u32 i = 0; i < count; i++)
		frames[i] = count - i;
	virtio_rig_add(&rig, BALLOON_INFLATE_QUEUE, BUFFER(0), count * sizeof(*frames), 0);
	balloon_serve(balloon);
	cr_assert_gt(owner.calls[BALLOON_DROP_INFLATE], 1);
	cr_assert_eq(owner.frames, count);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 1);
}

Test(balloon_device, length_of_4_gib_needs_a_reset)
{
	start(0);
	virtio_rig_add(&rig, BALLOON_INFLATE_QUEUE, 0, UINT32_MAX, 0);
	balloon_serve(balloon);
	cr_assert_eq(owner.frames, 0);
	cr_assert(virtio_rig_read(&rig, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
}

Test(balloon_device, target_is_told_to_the_driver)
{
	const struct balloon_order order = {.target = 1234};

	start(0);
	balloon_order(balloon, &order);
	balloon_serve(balloon);
	cr_assert_eq(read_config(0), 1234);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
	cr_assert_eq(owner.status.target, 1234);
}

Test(balloon_device, actual_is_what_the_driver_says_byte_by_byte)
{
	start(0);
	for (u32 i = 0; i < 4; i++)
		virtio_mmio_write(rig.mmio, VIRTIO_MMIO_CONFIG + 4 + i, 1, 1 + i);
	balloon_serve(balloon);
	cr_assert_eq(owner.status.actual, 0x04030201);
}

Test(balloon_device, fields_of_the_device_cannot_be_written)
{
	start(0);
	virtio_mmio_write(rig.mmio, VIRTIO_MMIO_CONFIG, 8, UINT64_MAX);
	write_config(8, UINT32_MAX);
	cr_assert_eq(read_config(0), 0);
	cr_assert_eq(read_config(4), UINT32_MAX);
	cr_assert_eq(read_config(8), 0);
}

static void put_stats(const struct balloon_stat_entry *entries, u32 count)
{
	memcpy(rig.ram + BUFFER(1), entries, count * sizeof(*entries));
	virtio_rig_add(&rig, BALLOON_STATS_QUEUE, BUFFER(1), count * sizeof(*entries), 0);
}

Test(balloon_device, statistics_of_all_tags_are_taken_in_any_order)
{
	struct balloon_stat_entry entries[BALLOON_STATS + 2];

	start(FEATURE(STATS_VQ));
	for (u32 i = 0; i < BALLOON_STATS; i++)
		entries[i] = (struct balloon_stat_entry){(u16)(BALLOON_STATS - 1 - i), 1000 + i};
	entries[BALLOON_STATS] = (struct balloon_stat_entry){0x7777, 1};
	entries[BALLOON_STATS + 1] = (struct balloon_stat_entry){UINT16_MAX, 1};
	put_stats(entries, ARRAY_SIZE(entries));
	balloon_serve(balloon);
	cr_assert_eq(owner.status.valid, (1U << BALLOON_STATS) - 1);
	cr_assert_eq(owner.status.values[BALLOON_STAT_SWAP_IN], 1000 + BALLOON_STATS - 1);
	cr_assert_eq(owner.status.values[BALLOON_STAT_DIRECT_RECLAIMED], 1000);
	cr_assert_gt(owner.status.stats_ns, 0);
}

Test(balloon_device, statistics_buffer_is_kept_and_given_back_to_ask_again)
{
	static const struct balloon_stat_entry entry = {BALLOON_STAT_FREE, 5};
	const struct balloon_order order = {.stats_ms = 1};

	start(FEATURE(STATS_VQ));
	put_stats(&entry, 1);
	balloon_serve(balloon);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_STATS_QUEUE)->index, 0, "nobody asks");
	balloon_order(balloon, &order);
	for (u32 i = 0; i < 10000 && !virtio_rig_used(&rig, BALLOON_STATS_QUEUE)->index; i++)
		balloon_serve(balloon);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_STATS_QUEUE)->index, 1);
}

Test(balloon_device, flood_of_statistics_is_bounded)
{
	static struct balloon_stat_entry entries[400];

	start(FEATURE(STATS_VQ));
	for (u32 i = 0; i < 9; i++)
		put_stats(entries, ARRAY_SIZE(entries));
	balloon_serve(balloon);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_STATS_QUEUE)->index, 8, "one is kept");
}

static void report(u32 queue)
{
	virtio_rig_add(&rig, queue, 16 * PAGE_SIZE, 4 * PAGE_SIZE, VRING_DESC_WRITE);
	balloon_serve(balloon);
}

Test(balloon_device, reported_pages_are_dropped_and_acknowledged)
{
	owner.watched = BALLOON_REPORT_QUEUE;
	start(FEATURE(REPORTING));
	report(BALLOON_REPORT_QUEUE);
	cr_assert_eq(owner.frames, 4);
	cr_assert_eq(owner.dropped[BALLOON_DROP_FREE][16], 1);
	cr_assert_eq(owner.used_at_drop, 0);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_REPORT_QUEUE)->index, 1);
}

Test(balloon_device, partly_reported_pages_are_kept)
{
	start(FEATURE(REPORTING));
	virtio_rig_add(&rig, BALLOON_REPORT_QUEUE, 16 * PAGE_SIZE + 1, 3 * PAGE_SIZE,
		       VRING_DESC_WRITE);
	virtio_rig_add(&rig, BALLOON_REPORT_QUEUE, 30 * PAGE_SIZE + 1, 100, VRING_DESC_WRITE);
	balloon_serve(balloon);
	cr_assert_eq(owner.frames, 2);
	cr_assert_eq(owner.dropped[BALLOON_DROP_FREE][16], 0);
	cr_assert_eq(owner.dropped[BALLOON_DROP_FREE][17], 1);
}

Test(balloon_device, poisoned_pages_are_not_dropped)
{
	start(FEATURE(REPORTING) | FEATURE(PAGE_POISON));
	write_config(12, 0xaaaaaaaa);
	balloon_serve(balloon);
	report(BALLOON_REPORT_QUEUE);
	cr_assert_eq(owner.frames, 0);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_REPORT_QUEUE)->index, 1, "but acknowledged");
	write_config(12, 0);
	balloon_serve(balloon);
	report(BALLOON_REPORT_QUEUE);
	cr_assert_eq(owner.frames, 4);
}

Test(balloon_device, queues_counted_by_what_was_negotiated_are_found)
{
	cr_assert(virtio_rig_negotiate(&rig, FEATURE(REPORTING)));
	for (u32 i = 0; i < 3; i++)
		virtio_rig_setup_queue(&rig, i);
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
	balloon_serve(balloon);
	report(2);
	cr_assert_eq(owner.dropped[BALLOON_DROP_FREE][16], 1);
}

Test(balloon_device, queues_at_their_own_numbers_are_found)
{
	cr_assert(virtio_rig_negotiate(&rig, FEATURE(REPORTING)));
	virtio_rig_setup_queue(&rig, 0);
	virtio_rig_setup_queue(&rig, 1);
	virtio_rig_setup_queue(&rig, BALLOON_REPORT_QUEUE);
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
	balloon_serve(balloon);
	report(BALLOON_REPORT_QUEUE);
	cr_assert_eq(owner.dropped[BALLOON_DROP_FREE][16], 1);
}

static void hint_command(u32 command)
{
	*(u32 *)(rig.ram + BUFFER(3)) = command;
	virtio_rig_add(&rig, BALLOON_HINT_QUEUE, BUFFER(3), sizeof(command), 0);
	balloon_serve(balloon);
}

Test(balloon_device, hints_count_in_answer_to_their_round)
{
	const struct balloon_order order = {.hint_round = 7};
	u32 command;

	start(FEATURE(FREE_PAGE_HINT));
	balloon_order(balloon, &order);
	balloon_serve(balloon);
	command = read_config(8);
	cr_assert_geq(command, BALLOON_HINT_FIRST);
	report(BALLOON_HINT_QUEUE);
	cr_assert_eq(owner.frames, 0, "no round was answered yet");
	hint_command(command - 1);
	report(BALLOON_HINT_QUEUE);
	cr_assert_eq(owner.frames, 0, "another round's");
	hint_command(command);
	report(BALLOON_HINT_QUEUE);
	cr_assert_eq(owner.dropped[BALLOON_DROP_HINT][16], 1);
	cr_assert_eq(owner.round, 7);
	hint_command(BALLOON_HINT_STOP);
	cr_assert_eq(read_config(8), BALLOON_HINT_DONE, "the pages are the driver's again");
	report(BALLOON_HINT_QUEUE);
	cr_assert_eq(owner.frames, 4, "after its end");
}

Test(balloon_device, reset_gives_all_frames_back)
{
	static const u32 frames[] = {1, 2};

	start(0);
	give(BALLOON_INFLATE_QUEUE, frames, 2);
	write_config(4, 2);
	balloon_serve(balloon);
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, 0);
	balloon_serve(balloon);
	cr_assert_eq(owner.calls[BALLOON_DROP_RESET], 1);
	cr_assert_eq(owner.status.actual, 0);
	cr_assert_eq(owner.status.features, 0);
	balloon_serve(balloon);
	cr_assert_eq(owner.calls[BALLOON_DROP_RESET], 1, "once");
}

/* Resets the device while its owner drops, and starts anew. */
static void reset_and_start(void)
{
	owner.dropping = NULL;
	start(0);
}

Test(balloon_device, reset_in_the_middle_of_inflating)
{
	static const u32 frames[] = {1, 2}, more[] = {3};

	start(0);
	owner.dropping = reset_and_start;
	give(BALLOON_INFLATE_QUEUE, frames, 2);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 0);
	balloon_serve(balloon);
	cr_assert_eq(owner.calls[BALLOON_DROP_RESET], 1);
	give(BALLOON_INFLATE_QUEUE, more, 1);
	cr_assert_eq(owner.dropped[BALLOON_DROP_INFLATE][3], 1);
	cr_assert_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 1);
}

/* Something on each queue, and a reset while it is worked on; wherever it comes, the next driver finds a device
 * that owes it nothing and works. */
static void reset_during(enum balloon_queue queue)
{
	const u32 frames[] = {5};

	owner = (struct owner){.host = {&owner_ops}, .dropping = reset_and_start};
	start(ALL_FEATURES - FEATURE(PAGE_POISON));
	for (u32 i = 0; i < 3; i++) {
		u16 flags = queue == BALLOON_REPORT_QUEUE || queue == BALLOON_HINT_QUEUE
				    ? VRING_DESC_WRITE
				    : 0;

		virtio_rig_add(&rig, queue, BUFFER(4 + i), PAGE_SIZE, flags);
	}
	balloon_serve(balloon);
	if (owner.dropping)
		reset_and_start();
	for (u32 i = 0; i < BALLOON_QUEUES; i++)
		cr_expect_eq(virtio_rig_used(&rig, i)->index, 0, "queue %u", i);
	balloon_serve(balloon);
	give(BALLOON_INFLATE_QUEUE, frames, 1);
	cr_expect_eq(owner.dropped[BALLOON_DROP_INFLATE][5], 1);
	cr_expect_eq(virtio_rig_used(&rig, BALLOON_INFLATE_QUEUE)->index, 1);
}

Test(balloon_device, reset_in_the_middle_of_anything)
{
	for (u32 queue = 0; queue < BALLOON_QUEUES; queue++)
		reset_during(queue);
}

/* Half of the handshake, then a reset, at each step of it. */
Test(balloon_device, reset_in_the_middle_of_the_handshake)
{
	static const u32 frames[] = {6};

	for (u32 step = 0; step < 4; step++) {
		virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, 0);
		virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
		if (step > 0)
			cr_assert(virtio_rig_negotiate(&rig, ALL_FEATURES));
		if (step > 1)
			virtio_rig_setup_queue(&rig, BALLOON_INFLATE_QUEUE);
		if (step > 2)
			virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
		virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NOTIFY, BALLOON_INFLATE_QUEUE);
		balloon_serve(balloon);
		virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, 0);
		balloon_serve(balloon);
		cr_expect_eq(owner.frames, 0);
	}
	start(0);
	give(BALLOON_INFLATE_QUEUE, frames, 1);
	cr_expect_eq(owner.frames, 1);
}

Test(balloon_device, configuration_is_written_in_any_widths_at_any_place)
{
	start(FEATURE(PAGE_POISON));
	for (u32 width = 1; width <= 8; width *= 2)
		for (u32 offset = 0; offset < 2 * sizeof(struct balloon_config); offset++)
			virtio_mmio_write(rig.mmio, VIRTIO_MMIO_CONFIG + offset, width,
					  0xa5a5a5a5a5a5a5a5);
	balloon_serve(balloon);
	cr_expect_eq(read_config(0), 0, "the device's");
	cr_expect_eq(read_config(4), 0xa5a5a5a5);
	cr_expect_eq(read_config(8), 0, "the device's");
	cr_expect_eq(read_config(12), 0xa5a5a5a5);
	cr_expect_eq(owner.status.actual, 0xa5a5a5a5,
		     "what it says is believed to be what it says");
}

Test(balloon_device, nothing_before_driver_ok)
{
	cr_assert(virtio_rig_negotiate(&rig, 0));
	virtio_rig_setup_queue(&rig, BALLOON_INFLATE_QUEUE);
	virtio_rig_add(&rig, BALLOON_INFLATE_QUEUE, BUFFER(0), 4, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	balloon_serve(balloon);
	cr_assert_eq(owner.frames, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
	balloon_serve(balloon);
	cr_assert_eq(owner.frames, 1);
}

Test(balloon_device, owner_that_is_gone_ends_it)
{
	static const u32 frames[] = {1};

	owner.answer = -EPIPE;
	start(0);
	give(BALLOON_INFLATE_QUEUE, frames, 1);
	give(BALLOON_INFLATE_QUEUE, frames, 1);
	cr_assert_eq(owner.calls[BALLOON_DROP_INFLATE], 1);
	balloon_run(balloon); /* returns */
}

Test(balloon_device, rubbish_in_rings_and_registers_is_survived)
{
	u64 random = 7;

	for (u32 round = 0; round < 300; round++) {
		start(ALL_FEATURES);
		for (u32 i = 0; i < 60; i++) {
			u32 queue = random >> 40 & 7;

			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			if (queue < BALLOON_QUEUES)
				virtio_rig_add(&rig, queue, random >> 30 & (RIG_BYTES - 1),
					       random >> 17 & 0x3fff, random >> 60 & 7);
			else
				virtio_mmio_write(rig.mmio, random >> 33 & 0x1ff, 4,
						  random >> 11 & 0xff);
			if (random >> 62)
				balloon_serve(balloon);
		}
	}
}
