/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer on the checks of the attach protocol. The first byte says how the rest is read: as a packet,
 * or as patches (offset, value) to a valid message, since few random packets get past the header. The
 * packet lies in a heap block of exactly its size, so that a check that reads past the end is caught.
 * What is accepted must be safe to act on without a further look: that is what use() asserts.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/attach_valid.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void use_text(const char *text, size_t size)
{
	assert(strnlen(text, size) < size);
}

static void use_guest(const struct attach_guest *guest)
{
	assert(guest->ram_bytes && !(guest->ram_bytes % REGION_SIZE) && guest->vcpus);
	assert(guest->ram_bytes / PAGE_SIZE <= 1ULL << 32);
	use_text(guest->name, sizeof(guest->name));
	use_text(guest->workload, sizeof(guest->workload));
	use_text(guest->args, sizeof(guest->args));
}

static void use_memory(const struct attach_memory *memory)
{
	assert(memory->count && memory->count <= ATTACH_MAX_REGIONS);
	for (u32 i = 0; i < memory->count; i++) {
		const struct attach_region *a = &memory->regions[i];

		assert(a->length && a->gpa + a->length > a->gpa && a->hva + a->length > a->hva);
		assert(a->file_offset + a->length > a->file_offset);
		for (u32 j = 0; j < memory->count; j++) {
			const struct attach_region *b = &memory->regions[j];

			assert(i == j || a->gpa + a->length <= b->gpa ||
			       b->gpa + b->length <= a->gpa);
		}
	}
}

static void use_zap(const struct attach_zap *zap, size_t size)
{
	assert(zap->count && zap->count <= ATTACH_MAX_RANGES);
	assert((const u8 *)&zap->ranges[zap->count] <= (const u8 *)zap + size);
	for (u32 i = 0; i < zap->count; i++)
		assert(zap->ranges[i].file_offset + zap->ranges[i].length >
		       zap->ranges[i].file_offset);
}

static void use_hello(const struct attach_hello *hello)
{
	use_text(hello->name, sizeof(hello->name));
	if (!(hello->flags & ATTACH_HELLO_BRINGS))
		return;
	assert(hello->name[0] && !strchr(hello->name, '/') && hello->vcpus);
	assert(hello->ram_bytes && !(hello->ram_bytes % REGION_SIZE));
	assert(hello->ram_bytes / PAGE_SIZE <= 1ULL << 32);
}

static void use_region(const struct attach_region *region)
{
	assert(region->length && !(region->length % REGION_SIZE));
	assert(region->hva + region->length > region->hva);
	assert(region->file_offset + region->length > region->file_offset);
}

static void use(const union attach_message *message, size_t size)
{
	switch (message->header.type) {
	case ATTACH_HELLO:
		use_hello(&message->hello);
		break;
	case ATTACH_PLUG:
		use_region(&message->plug.region);
		break;
	case ATTACH_GUEST:
		use_guest(&message->guest);
		break;
	case ATTACH_MEMORY:
		use_memory(&message->memory);
		break;
	case ATTACH_ZAP:
		use_zap(&message->zap, size);
		break;
	case ATTACH_STOP:
		use_text(message->stop.reason, sizeof(message->stop.reason));
		break;
	case ATTACH_STATS:
		use_text(message->stats.phase, sizeof(message->stats.phase));
		break;
	case ATTACH_EXIT:
		use_text(message->exit.text, sizeof(message->exit.text));
		assert(message->exit.code < ATTACH_EXIT_CODES);
		break;
	}
}

static u32 make_packet(union attach_message *message, const u8 *data, size_t size)
{
	memcpy(message, data, size);
	return (u32)size;
}

static u32 patch_message(union attach_message *message, u32 type, const u8 *data, size_t size)
{
	u32 length = valid_message(message, (enum attach_type)type).length;

	for (; size >= 3; data += 3, size -= 3)
		message->bytes[(data[0] | data[1] << 8) % length] = data[2];
	return length;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static union attach_message scratch;
	union attach_message *message;
	const char *why;
	u32 length;
	u8 how;
	int ret;

	if (!size-- || size > sizeof(scratch))
		return 0;
	how = *data++;
	if (how & 0x80)
		length = make_packet(&scratch, data, size);
	else
		length = patch_message(&scratch, 1 + how / 4 % (ATTACH_TYPES - 1), data, size);
	message = malloc(length ? length : 1);
	if (!message)
		return 0;
	memcpy(message, &scratch, length);
	ret = attach_check(message, length, how % 4, &why);
	assert(ret == (why ? -EPROTO : 0));
	if (!ret)
		use(message, length);
	free(message);
	return 0;
}
