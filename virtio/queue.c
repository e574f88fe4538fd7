/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/queue.h"

#include <errno.h>
#include <string.h>

#include "virtio/ring.h"

void virtqueue_init(struct virtqueue *queue, struct virtio_host *host, u16 max_size)
{
	*queue = (struct virtqueue){.host = host, .max_size = max_size};
}

void virtqueue_reset(struct virtqueue *queue)
{
	virtqueue_init(queue, queue->host, queue->max_size);
}

static int map_part(const struct virtqueue *queue, gpa_t gpa, u64 length, u64 align, hva_t *hva)
{
	if (gpa.value % align)
		return -EINVAL;
	return queue->host->ops->map(queue->host, gpa, length, hva);
}

int virtqueue_enable(struct virtqueue *queue, bool indirect, bool event_index)
{
	u32 size = queue->size;
	int err;

	if (!size || size > queue->max_size || size & (size - 1))
		return -EINVAL;
	err = map_part(queue, queue->descriptors, vring_desc_bytes(size), VRING_DESC_ALIGN,
		       &queue->descriptors_at);
	if (!err)
		err = map_part(queue, queue->available, vring_avail_bytes(size), VRING_AVAIL_ALIGN,
			       &queue->available_at);
	if (!err)
		err = map_part(queue, queue->used, vring_used_bytes(size), VRING_USED_ALIGN,
			       &queue->used_at);
	if (err)
		return err;
	queue->indirect = indirect;
	queue->event_index = event_index;
	queue->next_available = 0;
	queue->next_used = 0;
	queue->signalled_valid = false;
	queue->broken = false;
	queue->ready = true;
	return 0;
}

static struct vring_avail *available(const struct virtqueue *queue)
{
	return (struct vring_avail *)queue->available_at.ptr;
}

static struct vring_used *used(const struct virtqueue *queue)
{
	return (struct vring_used *)queue->used_at.ptr;
}

static u16 read_16(const u16 *from)
{
	return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}

static u16 *used_event(const struct virtqueue *queue)
{
	return &available(queue)->ring[queue->size];
}

static u16 *avail_event(const struct virtqueue *queue)
{
	return (u16 *)&used(queue)->ring[queue->size];
}

/* Reads a descriptor once, for the driver may be writing it: behind the barrier the compiler cannot read
 * it again. Indirect tables may lie at any address. */
static struct vring_desc read_descriptor(const struct vring_desc *from)
{
	struct vring_desc descriptor;

	memcpy(&descriptor, from, sizeof(descriptor));
	__asm__ volatile("" : : : "memory");
	return descriptor;
}

/* A table of descriptors that are being walked: the queue's own, or an indirect one. */
struct table {
	const struct vring_desc *at;
	u32 size;
	u32 seen;      /* more than `size` of them would be a loop */
	bool indirect; /* not told by `at`: a driver may give the queue's own table as an indirect one */
};

static int add_buffer(const struct virtqueue *queue, struct virtqueue_chain *chain,
		      const struct vring_desc *descriptor)
{
	bool write = descriptor->flags & VRING_DESC_WRITE;
	u64 *bytes = write ? &chain->writable_bytes : &chain->readable_bytes;
	u32 count = chain->readable + chain->writable;
	hva_t hva;

	if (!write && chain->writable)
		return -EPROTO; /* section 2.7.4.2: what is read comes first */
	if (!descriptor->length)
		return 0;
	if (count == VIRTQUEUE_MAX_CHAIN)
		return -EPROTO;
	*bytes += descriptor->length;
	if (*bytes > UINT32_MAX)
		return -EPROTO; /* section 2.7.5 */
	if (queue->host->ops->map(queue->host, gpa(descriptor->address), descriptor->length, &hva))
		return -EPROTO;
	chain->buffers[count] =
		(struct virtqueue_buffer){hva.ptr, descriptor->length, gpa(descriptor->address)};
	*(write ? &chain->writable : &chain->readable) += 1;
	return 0;
}

/* Section 2.7.5.3: a table of its own, at the end of a chain, and in no other table. */
static int enter_indirect(const struct virtqueue *queue, const struct vring_desc *descriptor,
			  struct table *table)
{
	u32 count = descriptor->length / (u32)sizeof(struct vring_desc);
	hva_t hva;

	if (!queue->indirect || table->indirect || descriptor->flags & VRING_DESC_NEXT)
		return -EPROTO;
	if (!count || descriptor->length % sizeof(struct vring_desc) || count > VIRTQUEUE_MAX_CHAIN)
		return -EPROTO;
	if (queue->host->ops->map(queue->host, gpa(descriptor->address), descriptor->length, &hva))
		return -EPROTO;
	*table = (struct table){(const struct vring_desc *)hva.ptr, count, 0, true};
	return 0;
}

static int walk(const struct virtqueue *queue, struct virtqueue_chain *chain)
{
	struct table table = {(const struct vring_desc *)queue->descriptors_at.ptr, queue->size, 0, false};
	u32 at = chain->head;

	for (;;) {
		struct vring_desc descriptor;
		int err;

		if (at >= table.size || table.seen++ >= table.size)
			return -EPROTO;
		descriptor = read_descriptor(&table.at[at]);
		if (descriptor.flags & VRING_DESC_INDIRECT) {
			err = enter_indirect(queue, &descriptor, &table);
			at = 0;
			if (err)
				return err;
			continue;
		}
		err = add_buffer(queue, chain, &descriptor);
		if (err || !(descriptor.flags & VRING_DESC_NEXT))
			return err;
		at = descriptor.next;
	}
}

/* How many chains wait; more than fit are a lie. */
static int pending(const struct virtqueue *queue)
{
	u16 index = __atomic_load_n(&available(queue)->index, __ATOMIC_SEQ_CST);
	u16 count = (u16)(index - queue->next_available);

	return count > queue->size ? -EPROTO : count;
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	int err;

	if (queue->broken)
		return -EPROTO;
	if (!queue->ready)
		return 0;
	err = pending(queue);
	if (!err)
		return 0;
	if (err > 0) {
		chain->readable = chain->writable = 0;
		chain->readable_bytes = chain->writable_bytes = 0;
		chain->head =
			read_16(&available(queue)->ring[queue->next_available & (queue->size - 1)]);
		err = walk(queue, chain);
	}
	if (err < 0) {
		queue->broken = true;
		return err;
	}
	queue->next_available++;
	return 1;
}

/* Sections 2.7.7 and 2.7.10. Our index was written before we look at what the driver waits for: both are in
 * the one order of sequentially consistent accesses. */
static bool wants_interrupt(struct virtqueue *queue)
{
	u16 before = queue->signalled;
	bool valid = queue->signalled_valid;

	if (!queue->event_index)
		return !(read_16(&available(queue)->flags) & VRING_AVAIL_NO_INTERRUPT);
	queue->signalled = queue->next_used;
	queue->signalled_valid = true;
	return !valid || vring_need_event(read_16(used_event(queue)), queue->next_used, before);
}

bool virtqueue_push(struct virtqueue *queue, u16 head, u32 written)
{
	struct vring_used_element *element;

	if (!queue->ready || queue->broken)
		return false;
	element = &used(queue)->ring[queue->next_used & (queue->size - 1)];
	__atomic_store_n(&element->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&element->length, written, __ATOMIC_RELAXED);
	queue->next_used++;
	__atomic_store_n(&used(queue)->index, queue->next_used, __ATOMIC_SEQ_CST);
	return wants_interrupt(queue);
}

bool virtqueue_listen(struct virtqueue *queue)
{
	if (!queue->ready || queue->broken)
		return false;
	if (queue->event_index)
		__atomic_store_n(avail_event(queue), queue->next_available, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&used(queue)->flags, 0, __ATOMIC_SEQ_CST);
	return pending(queue) != 0;
}

/* Copies between a span of buffers and ours; the direction is the caller's. */
static u64 copy(const struct virtqueue_buffer *buffers, u32 count, u64 offset, u8 *ours, u64 bytes,
		bool out)
{
	u64 done = 0;

	for (u32 i = 0; i < count && done < bytes; i++) {
		u64 here;

		if (offset >= buffers[i].length) {
			offset -= buffers[i].length;
			continue;
		}
		here = MIN(buffers[i].length - offset, bytes - done);
		if (out)
			memcpy(buffers[i].at + offset, ours + done, here);
		else
			memcpy(ours + done, buffers[i].at + offset, here);
		done += here;
		offset = 0;
	}
	return done;
}

u64 virtqueue_read(const struct virtqueue_chain *chain, u64 offset, void *to, u64 bytes)
{
	return copy(chain->buffers, chain->readable, offset, to, bytes, false);
}

u64 virtqueue_write(const struct virtqueue_chain *chain, u64 offset, const void *from, u64 bytes)
{
	return copy(chain->buffers + chain->readable, chain->writable, offset, (u8 *)from, bytes,
		    true);
}
