/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of each queue: descriptors, then the two rings. */
#define QUEUE_STRIDE 2048UL
#define AVAIL_OFFSET 512UL
#define USED_OFFSET  1024UL

static int virtio_rig_map(struct virtio_host *host, gpa_t gpa, u64 length, hva_t *hva)
{
	struct virtio_rig *rig = container_of(host, struct virtio_rig, host);
	u64 end;

	if (!length || __builtin_add_overflow(gpa.value, length, &end) || end > RIG_BYTES)
		return -EFAULT;
	hva->ptr = rig->ram + gpa.value;
	return 0;
}

static void virtio_rig_interrupt(struct virtio_host *host)
{
	container_of(host, struct virtio_rig, host)->interrupts++;
}

static const struct virtio_host_ops virtio_rig_ops = {.map = virtio_rig_map,
						      .interrupt = virtio_rig_interrupt};

void virtio_rig_init(struct virtio_rig *rig)
{
	*rig = (struct virtio_rig){.host = {&virtio_rig_ops},
				   .ram = aligned_alloc(PAGE_SIZE, RIG_BYTES)};
	memset(rig->ram, 0, RIG_BYTES);
}

void virtio_rig_free(struct virtio_rig *rig)
{
	free(rig->ram);
}

u64 virtio_rig_desc_gpa(u32 queue)
{
	return (queue + 1) * QUEUE_STRIDE;
}

struct vring_desc *virtio_rig_desc(struct virtio_rig *rig, u32 queue)
{
	return (struct vring_desc *)(rig->ram + virtio_rig_desc_gpa(queue));
}

struct vring_avail *virtio_rig_avail(struct virtio_rig *rig, u32 queue)
{
	return (struct vring_avail *)(rig->ram + virtio_rig_desc_gpa(queue) + AVAIL_OFFSET);
}

struct vring_used *virtio_rig_used(struct virtio_rig *rig, u32 queue)
{
	return (struct vring_used *)(rig->ram + virtio_rig_desc_gpa(queue) + USED_OFFSET);
}

u32 virtio_rig_read(struct virtio_rig *rig, u32 offset)
{
	return (u32)virtio_mmio_read(rig->mmio, offset, 4);
}

void virtio_rig_write(struct virtio_rig *rig, u32 offset, u32 value)
{
	virtio_mmio_write(rig->mmio, offset, 4, value);
}

bool virtio_rig_negotiate(struct virtio_rig *rig, u64 features)
{
	features |= 1ULL << VIRTIO_F_VERSION_1;
	virtio_rig_write(rig, VIRTIO_MMIO_STATUS, 0);
	virtio_rig_write(rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
	virtio_rig_write(rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	for (u32 half = 0; half < 2; half++) {
		virtio_rig_write(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		virtio_rig_write(rig, VIRTIO_MMIO_DRIVER_FEATURES, (u32)(features >> 32 * half));
	}
	virtio_rig_write(rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_FEATURES_OK);
	return virtio_rig_read(rig, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK;
}

void virtio_rig_setup_queue(struct virtio_rig *rig, u32 queue)
{
	u64 base = virtio_rig_desc_gpa(queue);

	memset(rig->ram + base, 0, QUEUE_STRIDE);
	rig->next_desc[queue] = 0;
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_SEL, queue);
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_NUM, RIG_SIZE);
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_DESC_LOW, (u32)base);
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (u32)(base + AVAIL_OFFSET));
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, 0);
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (u32)(base + USED_OFFSET));
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, 0);
	virtio_rig_write(rig, VIRTIO_MMIO_QUEUE_READY, 1);
}

bool virtio_rig_start(struct virtio_rig *rig, u64 features, u32 queues)
{
	if (!virtio_rig_negotiate(rig, features))
		return false;
	for (u32 i = 0; i < queues; i++)
		virtio_rig_setup_queue(rig, i);
	virtio_rig_write(rig, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
	return virtio_rig_read(rig, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_DRIVER_OK;
}

void virtio_rig_offer(struct virtio_rig *rig, u32 queue, u16 head)
{
	struct vring_avail *avail = virtio_rig_avail(rig, queue);

	avail->ring[avail->index % RIG_SIZE] = head;
	__atomic_store_n(&avail->index, (u16)(avail->index + 1), __ATOMIC_RELEASE);
}

u16 virtio_rig_add(struct virtio_rig *rig, u32 queue, u64 address, u32 length, u16 flags)
{
	u16 at = rig->next_desc[queue]++ % RIG_SIZE;

	virtio_rig_desc(rig, queue)[at] = (struct vring_desc){address, length, flags, 0};
	virtio_rig_offer(rig, queue, at);
	return at;
}
