/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One valid message of every type, for tests that then break one thing at a time.
 */
#ifndef TESTS_UNIT_ATTACH_VALID_H
#define TESTS_UNIT_ATTACH_VALID_H

#include <string.h>

#include "attach/attach.h"

/* How much of a message is sent, and with how many descriptors. */
struct attach_shape {
	u32 length;
	u32 nfds;
};

static inline void valid_body(union attach_message *message, enum attach_type type)
{
	static const struct attach_region regions[] = {
		{0, 0x7f0000000000, 0, 3 * GiB},
		{4 * GiB, 0x7f8000000000, 3 * GiB, REGION_SIZE},
	};

	memset(message, 0, sizeof(*message));
	if (type == ATTACH_HELLO) {
		message->hello.pid = 1;
		message->hello.flags = ATTACH_HELLO_REMOVES;
	} else if (type == ATTACH_GUEST) {
		message->guest.ram_bytes = 512 * MiB;
		message->guest.data_bytes = 32 * MiB;
		message->guest.vcpus = 2;
		strcpy(message->guest.name, "web1");
		strcpy(message->guest.workload, "kv");
	} else if (type == ATTACH_MEMORY) {
		message->memory.accel = ATTACH_ACCEL_KVM;
		message->memory.count = ARRAY_SIZE(regions);
		memcpy(message->memory.regions, regions, sizeof(regions));
	} else if (type == ATTACH_ZAP) {
		message->zap.count = 2;
		message->zap.ranges[0] = (struct attach_range){0, REGION_SIZE};
		message->zap.ranges[1] = (struct attach_range){5 * REGION_SIZE, 16 * PAGE_SIZE};
	} else if (type == ATTACH_STOP) {
		message->stop.graceful = 1;
		strcpy(message->stop.reason, "time is over");
	} else if (type == ATTACH_STATS) {
		message->stats.progress = 1000;
		strcpy(message->stats.phase, "verify");
	} else if (type == ATTACH_CONSOLE) {
		memset(message->console.text, 0xff, sizeof(message->console.text));
	} else if (type == ATTACH_EXIT) {
		message->exit.code = ATTACH_EXIT_CODES - 1;
	} else if (type == ATTACH_BALLOON) {
		message->balloon.target_pages = 16384;
	} else if (type == ATTACH_DROP) {
		message->drop.count = ATTACH_MAX_RUNS;
		for (u32 i = 0; i < ATTACH_MAX_RUNS; i++)
			message->drop.runs[i] = (struct attach_run){16 * i, 1 + i % 16};
	} else if (type == ATTACH_BALLOON_STATS) {
		message->balloon_stats.valid = 0x3ff;
	} else if (type == ATTACH_SHARE) {
		message->share.frame_bytes = 64 * MiB;
	} else if (type == ATTACH_REMAP) {
		message->remap.count = 2;
		message->remap.ranges[0] =
			(struct attach_remap_range){0, 16 * PAGE_SIZE, 4 * PAGE_SIZE};
		message->remap.ranges[1] =
			(struct attach_remap_range){REGION_SIZE, PAGE_SIZE, ATTACH_REMAP_HOME};
	} else if (type == ATTACH_PLUG) {
		message->plug.what = ATTACH_PLUG_OUT;
		message->plug.region = regions[1];
	} else if (type == ATTACH_PLUGGED) {
		message->plugged.refused = 12;
	}
}

static inline struct attach_shape valid_shape(enum attach_type type)
{
	static const struct attach_shape shapes[ATTACH_TYPES] = {
		[ATTACH_HELLO] = {sizeof(struct attach_hello), 0},
		[ATTACH_GUEST] = {sizeof(struct attach_guest), 2},
		[ATTACH_MEMORY] = {sizeof(struct attach_memory), 1},
		[ATTACH_START] = {sizeof(struct attach_header), 0},
		[ATTACH_ZAP] = {sizeof(struct attach_zap), 0},
		[ATTACH_ZAPPED] = {sizeof(struct attach_header), 0},
		[ATTACH_STOP] = {sizeof(struct attach_stop), 0},
		[ATTACH_STATS] = {sizeof(struct attach_stats), 0},
		[ATTACH_CONSOLE] = {sizeof(struct attach_console), 0},
		[ATTACH_EXIT] = {sizeof(struct attach_exit), 0},
		[ATTACH_BALLOON] = {sizeof(struct attach_balloon), 0},
		[ATTACH_DROP] = {sizeof(struct attach_drop), 0},
		[ATTACH_DROPPED] = {sizeof(struct attach_header), 0},
		[ATTACH_BALLOON_STATS] = {sizeof(struct attach_balloon_stats), 0},
		[ATTACH_SHARE] = {sizeof(struct attach_share), 2},
		[ATTACH_REMAP] = {sizeof(struct attach_remap), 0},
		[ATTACH_REMAPPED] = {sizeof(struct attach_header), 0},
		[ATTACH_BEGIN] = {sizeof(struct attach_header), 0},
		[ATTACH_PLUG] = {sizeof(struct attach_plug), 0},
		[ATTACH_PLUGGED] = {sizeof(struct attach_plugged), 0},
	};

	return shapes[type];
}

static inline struct attach_shape valid_message(union attach_message *message,
						enum attach_type type)
{
	struct attach_shape shape = valid_shape(type);

	valid_body(message, type);
	message->header = (struct attach_header){.magic = ATTACH_MAGIC,
						 .version = ATTACH_VERSION,
						 .type = (u16)type,
						 .length = shape.length};
	return shape;
}

#endif
