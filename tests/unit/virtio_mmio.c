/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO transport's registers (Virtio 1.2, 2.1, 3.1 and 4.2), under drivers of every manner. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/virtio_rig.h"

#define FEATURE_A 3
#define FEATURE_B 5

static struct virtio_rig rig;
static struct virtio_mmio mmio;
static struct virtqueue_chain chain;

static struct probe {
	struct virtio_device device;
	u8 config[12];
	u32 kicks;
} probe;

static void probe_read(struct virtio_device *device, u32 offset, u8 *to, u32 bytes)
{
	memcpy(to, container_of(device, struct probe, device)->config + offset, bytes);
}

static void probe_write(struct virtio_device *device, u32 offset, const u8 *from, u32 bytes)
{
	memcpy(container_of(device, struct probe, device)->config + offset, from, bytes);
}

static void probe_kick(struct virtio_device *device)
{
	container_of(device, struct probe, device)->kicks++;
}

static const struct virtio_device_ops probe_ops = {
	.id = 5,
	.queues = 2,
	.queue_size = 64,
	.features = 1ULL << FEATURE_A | 1ULL << FEATURE_B,
	.config_bytes = sizeof(probe.config),
	.read_config = probe_read,
	.write_config = probe_write,
	.kick = probe_kick,
	.reset = probe_kick,
};

static void setup(void)
{
	probe = (struct probe){.device = {&probe_ops}};
	virtio_rig_init(&rig);
	virtio_mmio_init(&mmio, &probe.device, &rig.host);
	rig.mmio = &mmio;
}

static void teardown(void)
{
	virtio_mmio_destroy(&mmio);
	virtio_rig_free(&rig);
}

TestSuite(virtio_mmio, .init = setup, .fini = teardown);

static u32 epoch; /* of the last pop() */

static bool pop(u32 queue)
{
	epoch = virtio_epoch(&mmio);
	return virtio_pop(&mmio, queue, epoch, &chain);
}

static u32 status(void)
{
	return virtio_rig_read(&rig, VIRTIO_MMIO_STATUS);
}

Test(virtio_mmio, says_what_it_is)
{
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_MAGIC), 0x74726976);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_DEVICE_ID), 5);
	cr_assert_eq(status(), 0);
}

Test(virtio_mmio, offers_its_features_and_the_devices)
{
	u32 low, high;

	virtio_rig_write(&rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = virtio_rig_read(&rig, VIRTIO_MMIO_DEVICE_FEATURES);
	virtio_rig_write(&rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	high = virtio_rig_read(&rig, VIRTIO_MMIO_DEVICE_FEATURES);
	cr_assert_eq(low, 1U << FEATURE_A | 1U << FEATURE_B | 1U << VIRTIO_F_INDIRECT_DESC |
				  1U << VIRTIO_F_EVENT_IDX);
	cr_assert_eq(high, 1U << (VIRTIO_F_VERSION_1 - 32));
	virtio_rig_write(&rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

Test(virtio_mmio, features_not_offered_are_refused)
{
	cr_assert_not(virtio_rig_negotiate(&rig, 1ULL << 4));
	cr_assert_not(virtio_rig_negotiate(&rig, 1ULL << 40));
	cr_assert(virtio_rig_negotiate(&rig, 1ULL << FEATURE_A));
}

Test(virtio_mmio, legacy_drivers_are_refused)
{
	virtio_rig_write(&rig, VIRTIO_MMIO_DRIVER_FEATURES, 1U << FEATURE_A);
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_FEATURES_OK);
	cr_assert_not(status() & VIRTIO_STATUS_FEATURES_OK);
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
	cr_assert_not(status() & VIRTIO_STATUS_DRIVER_OK);
}

Test(virtio_mmio, features_do_not_change_once_agreed)
{
	cr_assert(virtio_rig_start(&rig, 1ULL << FEATURE_A, 2));
	virtio_rig_write(&rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_DRIVER_FEATURES, 1U << FEATURE_B);
	cr_assert(virtio_has_feature(&mmio, FEATURE_A));
	cr_assert_not(virtio_has_feature(&mmio, FEATURE_B));
}

Test(virtio_mmio, status_bits_are_only_set)
{
	cr_assert(virtio_rig_start(&rig, 0, 2));
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS,
			 VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_NEEDS_RESET);
	cr_assert_eq(status(), VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
				       VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}

Test(virtio_mmio, nothing_is_consumed_before_the_driver_is_ready)
{
	virtio_rig_negotiate(&rig, 0);
	virtio_rig_setup_queue(&rig, 0);
	virtio_rig_add(&rig, 0, RIG_BUFFERS, 8, 0);
	probe.kicks = 0;
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	cr_assert_eq(probe.kicks, 0);
	cr_assert_not(pop(0));
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
	cr_assert_eq(probe.kicks, 1, "what came early is looked for now");
	cr_assert(pop(0));
}

Test(virtio_mmio, used_buffers_interrupt)
{
	cr_assert(virtio_rig_start(&rig, 0, 2));
	virtio_rig_add(&rig, 1, RIG_BUFFERS, 8, 0);
	cr_assert(pop(1));
	virtio_push(&mmio, 1, epoch, chain.head, 0);
	cr_assert_eq(rig.interrupts, 1);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_INTERRUPT_USED);
	virtio_rig_write(&rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_INTERRUPT_USED);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

Test(virtio_mmio, reset_in_the_middle_forgets_the_buffer)
{
	cr_assert(virtio_rig_start(&rig, 0, 2));
	virtio_rig_add(&rig, 0, RIG_BUFFERS, 8, 0);
	cr_assert(pop(0));
	virtio_rig_write(&rig, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(status(), 0);
	cr_assert(virtio_rig_start(&rig, 0, 2), "a driver that starts anew");
	virtio_push(&mmio, 0, epoch, chain.head, 0);
	cr_assert_eq(virtio_rig_used(&rig, 0)->index, 0, "must not get the old driver's buffer");
	cr_assert_neq(virtio_epoch(&mmio), epoch);
}

Test(virtio_mmio, broken_ring_needs_a_reset)
{
	cr_assert(virtio_rig_start(&rig, 0, 2));
	virtio_rig_offer(&rig, 0, 999);
	cr_assert_not(pop(0));
	cr_assert(status() & VIRTIO_STATUS_NEEDS_RESET);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
	virtio_rig_add(&rig, 1, RIG_BUFFERS, 8, 0);
	cr_assert_not(pop(1), "nor does the other queue go on");
	cr_assert(virtio_rig_start(&rig, 0, 2));
	virtio_rig_add(&rig, 1, RIG_BUFFERS, 8, 0);
	cr_assert(pop(1), "until it was reset");
}

Test(virtio_mmio, queue_that_lies_nowhere_needs_a_reset)
{
	virtio_rig_negotiate(&rig, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_SEL, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NUM, RIG_SIZE);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_DESC_HIGH, UINT32_MAX);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert(status() & VIRTIO_STATUS_NEEDS_RESET);
}

Test(virtio_mmio, queues_beyond_the_last_do_not_exist)
{
	virtio_rig_negotiate(&rig, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_SEL, 2);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NUM, 16);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_QUEUE_READY), 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
}

Test(virtio_mmio, queue_in_use_does_not_move)
{
	u64 before;

	cr_assert(virtio_rig_start(&rig, 0, 2));
	before = mmio.queues[0].used.value;
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_SEL, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_DEVICE_LOW, 0);
	virtio_rig_write(&rig, VIRTIO_MMIO_QUEUE_NUM, 64);
	cr_assert_eq(mmio.queues[0].used.value, before);
	cr_assert_eq(mmio.queues[0].size, RIG_SIZE);
}

Test(virtio_mmio, configuration_is_read_and_written_in_any_pieces)
{
	for (u32 i = 0; i < 4; i++)
		virtio_mmio_write(&mmio, VIRTIO_MMIO_CONFIG + i, 1, 0x10 + i);
	cr_assert_eq(virtio_mmio_read(&mmio, VIRTIO_MMIO_CONFIG, 4), 0x13121110);
	cr_assert_eq(virtio_mmio_read(&mmio, VIRTIO_MMIO_CONFIG + 1, 2), 0x1211);
	virtio_mmio_write(&mmio, VIRTIO_MMIO_CONFIG + 8, 8, UINT64_MAX);
	cr_assert_eq(virtio_mmio_read(&mmio, VIRTIO_MMIO_CONFIG + 8, 8), UINT32_MAX, "cut off");
	cr_assert_eq(virtio_mmio_read(&mmio, VIRTIO_MMIO_CONFIG + 200, 8), 0);
}

Test(virtio_mmio, change_of_configuration_is_told_once_the_driver_is_ready)
{
	u32 generation = virtio_rig_read(&rig, VIRTIO_MMIO_CONFIG_GENERATION);

	virtio_config_changed(&mmio);
	cr_assert_neq(virtio_rig_read(&rig, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_assert_eq(rig.interrupts, 0);
	cr_assert(virtio_rig_start(&rig, 0, 2));
	virtio_config_changed(&mmio);
	cr_assert_eq(rig.interrupts, 1);
	cr_assert_eq(virtio_rig_read(&rig, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
}

Test(virtio_mmio, registers_want_whole_words)
{
	virtio_mmio_write(&mmio, VIRTIO_MMIO_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE);
	cr_assert_eq(status(), 0);
	cr_assert_eq(virtio_mmio_read(&mmio, VIRTIO_MMIO_MAGIC + 1, 4), 0);
	cr_assert_eq(virtio_mmio_read(&mmio, VIRTIO_MMIO_MAGIC, 8), 0);
}

Test(virtio_mmio, rubbish_to_all_registers_is_survived)
{
	u64 random = 1;

	cr_assert(virtio_rig_start(&rig, 0, 2));
	for (u32 i = 0; i < 200000; i++) {
		static const u32 sizes[] = {1, 2, 4, 4, 4, 8};
		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		virtio_mmio_write(&mmio, random >> 32 & 0x1ff, sizes[random >> 50 & 3],
				  random >> 20 & (random & 1 ? 0xff : UINT32_MAX));
		virtio_mmio_read(&mmio, random >> 41 & 0x1ff, 4);
		if (pop(random >> 60 & 1))
			virtio_push(&mmio, random >> 60 & 1, epoch, chain.head, 0);
	}
}
