/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues against drivers that keep the rules, and drivers that do not (Virtio 1.2, 2.7). */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/virtio_rig.h"

static struct virtio_rig rig;
static struct virtqueue queue;
static struct virtqueue_chain chain;

#define BUFFER(n) (RIG_BUFFERS + (n)*PAGE_SIZE)

static void open_queue(bool indirect, bool event_index)
{
	virtio_rig_free(&rig); /* of the attempt before */
	virtio_rig_init(&rig);
	virtqueue_init(&queue, &rig.host, 64);
	queue.size = RIG_SIZE;
	queue.descriptors = gpa(virtio_rig_desc_gpa(0));
	queue.available = gpa((u64)((u8 *)virtio_rig_avail(&rig, 0) - rig.ram));
	queue.used = gpa((u64)((u8 *)virtio_rig_used(&rig, 0) - rig.ram));
	cr_assert_eq(virtqueue_enable(&queue, indirect, event_index), 0);
}

static void setup(void)
{
	open_queue(true, false);
}

static void setup_event_index(void)
{
	open_queue(true, true);
}

static void teardown(void)
{
	virtio_rig_free(&rig);
}

TestSuite(virtio_queue, .init = setup, .fini = teardown);
TestSuite(virtio_event, .init = setup_event_index, .fini = teardown);

static void describe(u16 at, u64 address, u32 length, u16 flags, u16 next)
{
	virtio_rig_desc(&rig, 0)[at] = (struct vring_desc){address, length, flags, next};
}

static void expect_broken(void)
{
	cr_assert_eq(virtqueue_pop(&queue, &chain), -EPROTO);
	cr_assert_eq(virtqueue_pop(&queue, &chain), -EPROTO, "and it stays broken");
	cr_assert_not(virtqueue_push(&queue, 0, 0));
	cr_assert_eq(virtio_rig_used(&rig, 0)->index, 0);
}

Test(virtio_queue, empty_gives_nothing)
{
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
}

Test(virtio_queue, chain_is_walked_in_order)
{
	char text[16] = {};

	memcpy(rig.ram + BUFFER(0), "split", 5);
	memcpy(rig.ram + BUFFER(1), "queue", 5);
	describe(3, BUFFER(0), 5, VRING_DESC_NEXT, 1);
	describe(1, BUFFER(1), 5, VRING_DESC_NEXT, 7);
	describe(7, BUFFER(2), 64, VRING_DESC_WRITE, 0);
	virtio_rig_offer(&rig, 0, 3);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.head, 3);
	cr_assert_eq(chain.readable, 2);
	cr_assert_eq(chain.writable, 1);
	cr_assert_eq(virtqueue_read(&chain, 0, text, sizeof(text)), 10);
	cr_assert_str_eq(text, "splitqueue");
	cr_assert_eq(virtqueue_read(&chain, 4, text, 3), 3);
	cr_assert_eq(memcmp(text, "tqu", 3), 0);
	cr_assert_eq(virtqueue_write(&chain, 60, "answer", 6), 4, "cut off at its end");
	cr_assert_eq(memcmp(rig.ram + BUFFER(2) + 60, "answ", 4), 0);
}

Test(virtio_queue, used_buffers_come_back_with_their_length)
{
	u16 head = virtio_rig_add(&rig, 0, BUFFER(0), 64, VRING_DESC_WRITE);

	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert(virtqueue_push(&queue, chain.head, 17));
	cr_assert_eq(virtio_rig_used(&rig, 0)->index, 1);
	cr_assert_eq(virtio_rig_used(&rig, 0)->ring[0].id, head);
	cr_assert_eq(virtio_rig_used(&rig, 0)->ring[0].length, 17);
}

Test(virtio_queue, indices_wrap)
{
	for (u32 i = 0; i < 70000; i++) {
		virtio_rig_add(&rig, 0, BUFFER(0), 4, 0);
		cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
		virtqueue_push(&queue, chain.head, 0);
		cr_assert_eq(virtio_rig_used(&rig, 0)->index, (u16)(i + 1));
	}
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
}

Test(virtio_queue, indirect_table_follows_direct_descriptors)
{
	struct vring_desc *table = (struct vring_desc *)(rig.ram + BUFFER(9));

	describe(0, BUFFER(0), 8, VRING_DESC_NEXT, 1);
	describe(1, BUFFER(9), 2 * sizeof(*table), VRING_DESC_INDIRECT | VRING_DESC_WRITE, 0);
	table[0] = (struct vring_desc){BUFFER(1), 8, VRING_DESC_NEXT, 1};
	table[1] = (struct vring_desc){BUFFER(2), 8, VRING_DESC_WRITE, 0};
	virtio_rig_offer(&rig, 0, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1, "WRITE of the table itself says nothing");
	cr_assert_eq(chain.readable, 2);
	cr_assert_eq(chain.writable, 1);
}

Test(virtio_queue, indirect_without_its_feature_is_refused)
{
	queue.indirect = false;
	describe(0, BUFFER(9), sizeof(struct vring_desc), VRING_DESC_INDIRECT, 0);
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, indirect_within_indirect_is_refused)
{
	struct vring_desc *table = (struct vring_desc *)(rig.ram + BUFFER(9));

	describe(0, BUFFER(9), sizeof(*table), VRING_DESC_INDIRECT, 0);
	table[0] = (struct vring_desc){BUFFER(9), sizeof(*table), VRING_DESC_INDIRECT, 0};
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, the_queues_own_table_as_an_indirect_one_is_refused)
{
	/* It would be entered for ever. */
	describe(0, (u64)((u8 *)queue.descriptors_at.ptr - rig.ram), sizeof(struct vring_desc),
		 VRING_DESC_INDIRECT, 0);
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, indirect_table_must_be_the_last_and_whole)
{
	static const struct {
		u32 length;
		u16 flags;
	} wrong[] = {{0, 0}, {17, 0}, {16, VRING_DESC_NEXT}, {0xfffffff0, 0}};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		open_queue(true, false);
		describe(0, BUFFER(9), wrong[i].length, VRING_DESC_INDIRECT | wrong[i].flags, 1);
		virtio_rig_offer(&rig, 0, 0);
		expect_broken();
	}
}

Test(virtio_queue, loop_is_noticed)
{
	describe(0, BUFFER(0), 8, VRING_DESC_NEXT, 1);
	describe(1, BUFFER(0), 8, VRING_DESC_NEXT, 0);
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, loop_within_an_indirect_table_is_noticed)
{
	struct vring_desc *table = (struct vring_desc *)(rig.ram + BUFFER(9));

	describe(0, BUFFER(9), 4 * sizeof(*table), VRING_DESC_INDIRECT, 0);
	table[0] = (struct vring_desc){BUFFER(0), 8, VRING_DESC_NEXT, 0};
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, head_and_next_beyond_the_table_are_refused)
{
	virtio_rig_offer(&rig, 0, RIG_SIZE);
	expect_broken();
	open_queue(true, false);
	describe(0, BUFFER(0), 8, VRING_DESC_NEXT, 60000);
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, more_available_than_fit_is_refused)
{
	virtio_rig_avail(&rig, 0)->index = RIG_SIZE + 1;
	expect_broken();
}

Test(virtio_queue, buffers_must_be_memory)
{
	static const struct vring_desc wrong[] = {
		{RIG_BYTES, 1, 0, 0},
		{RIG_BYTES - 1, 2, 0, 0},
		{0, UINT32_MAX, 0, 0},
		{UINT64_MAX, UINT32_MAX, 0, 0},
		{UINT64_MAX - 4096, 8192, 0, 0},
		{1ULL << 63, 4096, VRING_DESC_WRITE, 0},
	};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		open_queue(true, false);
		virtio_rig_desc(&rig, 0)[0] = wrong[i];
		virtio_rig_offer(&rig, 0, 0);
		expect_broken();
	}
}

Test(virtio_queue, readable_after_writable_is_refused)
{
	describe(0, BUFFER(0), 8, VRING_DESC_WRITE | VRING_DESC_NEXT, 1);
	describe(1, BUFFER(1), 8, 0, 0);
	virtio_rig_offer(&rig, 0, 0);
	expect_broken();
}

Test(virtio_queue, size_must_be_a_power_of_two_that_fits)
{
	static const u32 wrong[] = {0, 3, 65, 128, UINT32_MAX};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		queue.size = wrong[i];
		cr_assert_eq(virtqueue_enable(&queue, false, false), -EINVAL);
	}
}

Test(virtio_queue, rings_must_be_aligned_memory)
{
	queue.descriptors.value += 8;
	cr_assert_eq(virtqueue_enable(&queue, false, false), -EINVAL);
	queue.descriptors.value -= 8;
	queue.used.value += 2;
	cr_assert_eq(virtqueue_enable(&queue, false, false), -EINVAL);
	queue.used.value = RIG_BYTES - 4;
	cr_assert_eq(virtqueue_enable(&queue, false, false), -EFAULT);
}

Test(virtio_queue, driver_can_ask_for_no_interrupts)
{
	virtio_rig_add(&rig, 0, BUFFER(0), 8, 0);
	virtio_rig_avail(&rig, 0)->flags = VRING_AVAIL_NO_INTERRUPT;
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_not(virtqueue_push(&queue, chain.head, 0));
}

Test(virtio_event, driver_is_interrupted_when_its_event_is_passed)
{
	virtio_rig_avail(&rig, 0)->ring[RIG_SIZE] = 2; /* used_event */
	for (u32 i = 0; i < 5; i++) {
		virtio_rig_add(&rig, 0, BUFFER(0), 8, 0);
		cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
		/* The first is always told: nobody knows what the driver saw before. */
		cr_assert_eq(virtqueue_push(&queue, chain.head, 0), i == 0 || i == 2, "%u", i);
	}
}

Test(virtio_event, device_says_what_it_waits_for)
{
	const u16 *event = (u16 *)&virtio_rig_used(&rig, 0)->ring[RIG_SIZE];

	virtio_rig_add(&rig, 0, BUFFER(0), 8, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_not(virtqueue_listen(&queue));
	cr_assert_eq(*event, 1);
	virtio_rig_add(&rig, 0, BUFFER(0), 8, 0);
	cr_assert(virtqueue_listen(&queue), "came before we asked to be told");
}
