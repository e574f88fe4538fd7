/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer on the balloon device: the input is a driver, four bytes an act: write a register, write the
 * configuration, write a word of memory, put a buffer on a ring, let the device work, or order something
 * of it. The rings are set up well to begin with, for few random drivers would get that far.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/device.h"
#include "tests/unit/virtio_rig.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static int owner_drop(struct balloon_host *host, enum balloon_drop what, u32 round,
		      const struct balloon_run *runs, u32 count)
{
	(void)host;
	(void)round;
	assert(what <= BALLOON_DROP_RESET && !count == (what == BALLOON_DROP_RESET));
	for (u32 i = 0; i < count; i++)
		assert(runs[i].count && runs[i].first <= UINT64_MAX - runs[i].count);
	return 0;
}

static void owner_changed(struct balloon_host *host, const struct balloon_status *status)
{
	(void)host;
	assert(!(status->valid >> BALLOON_STATS));
}

static const struct balloon_host_ops owner_ops = {owner_drop, owner_changed};

static void act(struct virtio_rig *rig, struct balloon *balloon, const u8 *data)
{
	u32 value = data[2] | data[3] << 8;
	const struct balloon_order order = {value, data[1] & 3, data[1] >> 4};

	switch (data[0] & 7) {
	case 0:
		virtio_mmio_write(rig->mmio, data[1] * 4U, 4, value);
		break;
	case 1:
		virtio_mmio_write(rig->mmio, VIRTIO_MMIO_CONFIG + data[1] % 32,
				  1U << (data[0] >> 6), value * 0x10001ULL);
		break;
	case 2:
		memcpy(rig->ram + (data[1] * 64U + (data[0] >> 3) * 4U) % (RIG_BYTES - 2), &value,
		       2);
		break;
	case 3:
	case 4:
		virtio_rig_add(rig, data[1] % BALLOON_QUEUES, RIG_BUFFERS + (data[1] >> 3) * 512ULL,
			       value, data[0] >> 5);
		break;
	case 5:
		balloon_order(balloon, &order);
		break;
	default:
		balloon_serve(balloon);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct balloon_host owner = {&owner_ops};
	struct balloon *balloon;
	struct virtio_rig rig;

	if (size < 4)
		return 0;
	virtio_rig_init(&rig);
	if (balloon_create(&rig.host, &owner, &balloon))
		abort();
	rig.mmio = balloon_mmio(balloon);
	virtio_rig_start(&rig, data[0] & ((1U << BALLOON_FEATURES) - 1), BALLOON_QUEUES);
	for (data += 4, size -= 4; size >= 4; data += 4, size -= 4)
		act(&rig, balloon, data);
	balloon_serve(balloon);
	balloon_destroy(balloon);
	virtio_rig_free(&rig);
	return 0;
}
