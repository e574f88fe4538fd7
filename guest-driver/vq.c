// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/vq.h"
#include "guest-driver/guest.h"
#include "guest-driver/memory.h"
#include "virtio/mmio_abi.h"

void vq_init(struct vq *vq, u32 index, u8 *memory)
{
	memset(memory, 0, VQ_BYTES);
	*vq = (struct vq){.index = index, .memory = memory};
	vq->descriptors = (struct vring_desc *)memory;
	vq->available = (struct vring_avail *)(memory + vq_available_offset());
	vq->used = (struct vring_used *)(memory + vq_used_offset());
}

/* Buffers come back in their order, so descriptors are used in turn. */
bool vq_add(struct vq *vq, u64 gpa, u32 bytes, bool write)
{
	u16 at = vq->added % VQ_SIZE;

	if (vq_pending(vq) == VQ_SIZE)
		return false;
	vq->descriptors[at] = (struct vring_desc){gpa, bytes, write ? VRING_DESC_WRITE : 0, 0};
	vq->available->ring[at] = at;
	__atomic_store_n(&vq->available->index, ++vq->added, __ATOMIC_SEQ_CST);
	return true;
}

void vq_kick(struct vq *vq, struct guest_cpu *cpu, u16 before)
{
	const u16 *event = (u16 *)&vq->used->ring[VQ_SIZE];

	/* In one order with the index: the device looks for more after it wrote what it waits for. */
	if (vring_need_event(__atomic_load_n(event, __ATOMIC_SEQ_CST), vq->added, before))
		cpu->platform->write_register(cpu, VIRTIO_MMIO_QUEUE_NOTIFY, vq->index);
}

bool vq_take(struct vq *vq)
{
	if (__atomic_load_n(&vq->used->index, __ATOMIC_SEQ_CST) == vq->taken)
		return false;
	vq->taken++;
	/* Interrupt us for the next. */
	__atomic_store_n(&vq->available->ring[VQ_SIZE], vq->taken, __ATOMIC_SEQ_CST);
	return true;
}
