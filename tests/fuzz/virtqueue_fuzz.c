/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer on the virtqueue: the input is the guest's memory, rings and all, after a few bytes that say
 * where the queue lies and how large it is. Memory is a heap block of exactly its size, so that an access
 * beyond it is caught. What is popped must be memory, in order and within bounds.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/queue.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct fuzz_machine {
	struct virtio_host host;
	u8 *ram;
	u64 bytes;
};

static int fuzz_map(struct virtio_host *host, gpa_t gpa, u64 length, hva_t *hva)
{
	struct fuzz_machine *machine = container_of(host, struct fuzz_machine, host);
	u64 end;

	if (!length || __builtin_add_overflow(gpa.value, length, &end) || end > machine->bytes)
		return -EFAULT;
	hva->ptr = machine->ram + gpa.value;
	return 0;
}

static void fuzz_interrupt(struct virtio_host *host)
{
	(void)host;
}

static const struct virtio_host_ops fuzz_ops = {fuzz_map, fuzz_interrupt};

static void use_chain(const struct fuzz_machine *machine, const struct virtqueue_chain *chain)
{
	u8 bytes[64] = {};
	u64 sum = 0;

	assert(chain->readable + chain->writable <= VIRTQUEUE_MAX_CHAIN);
	for (u32 i = 0; i < chain->readable + chain->writable; i++) {
		const struct virtqueue_buffer *buffer = &chain->buffers[i];

		assert(buffer->length && buffer->at >= machine->ram);
		assert(buffer->at + buffer->length <= machine->ram + machine->bytes);
		sum += buffer->length;
	}
	assert(sum == chain->readable_bytes + chain->writable_bytes);
	virtqueue_read(chain, 3, bytes, sizeof(bytes));
	virtqueue_write(chain, 5, bytes, sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct virtqueue_chain chain;
	struct fuzz_machine machine = {.host = {&fuzz_ops}};
	struct virtqueue queue;

	if (size < 8 + 64)
		return 0;
	machine.bytes = size - 8;
	machine.ram = malloc(machine.bytes);
	if (!machine.ram)
		return 0;
	memcpy(machine.ram, data + 8, machine.bytes);
	virtqueue_init(&queue, &machine.host, 64);
	queue.size = 1U << (data[0] & 7);
	queue.descriptors = gpa(data[1] * 16ULL);
	queue.available = gpa(data[2] * 16ULL + data[3] * 2ULL);
	queue.used = gpa(data[4] * 16ULL + (data[5] & 3) * 4ULL);
	if (!virtqueue_enable(&queue, data[6] & 1, data[6] & 2)) {
		for (u32 i = 0; i < 80 && virtqueue_pop(&queue, &chain) > 0; i++) {
			use_chain(&machine, &chain);
			virtqueue_push(&queue, chain.head, data[7]);
			virtqueue_listen(&queue);
		}
	}
	free(machine.ram);
	return 0;
}
