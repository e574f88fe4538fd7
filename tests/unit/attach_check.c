/* SPDX-License-Identifier: Apache-2.0 */
/* Every message is accepted when it is right and refused when any one field is not. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/unit/attach_valid.h"

static union attach_message message;
static struct attach_shape shape;
static const char *why;

static int check(void)
{
	return attach_check(&message, shape.length, shape.nfds, &why);
}

static void start_from(enum attach_type type)
{
	shape = valid_message(&message, type);
	cr_assert_eq(check(), 0, "%s: %s", attach_type_name(type), why);
	cr_assert_null(why);
}

/* Starts from a valid message, breaks one thing, expects it to be refused for the stated reason. */
#define REFUSED(type, reason, ...)                                                                 \
	do {                                                                                       \
		start_from(type);                                                                  \
		__VA_ARGS__;                                                                       \
		cr_expect_eq(check(), -EPROTO, "accepted: %s", #__VA_ARGS__);                      \
		cr_expect(why &&strstr(why, reason), "%s: %s", #__VA_ARGS__, why ? why : "");      \
	} while (0)

#define ACCEPTED(type, ...)                                                                        \
	do {                                                                                       \
		start_from(type);                                                                  \
		__VA_ARGS__;                                                                       \
		cr_expect_eq(check(), 0, "refused: %s: %s", #__VA_ARGS__, why ? why : "");         \
	} while (0)

/* A string without an end, and one that would move the reader's cursor. */
#define REFUSED_TEXT(type, field)                                                                  \
	do {                                                                                       \
		REFUSED(type, "text", memset(field, 'a', sizeof(field)));                          \
		REFUSED(type, "text", strcpy(field, "\033[2J"));                                   \
	} while (0)

Test(attach_check, a_name_can_be_a_files)
{
	static const char *const good[] = {"a", "web-1.a_B", "-", "a..b", "a."};
	static const char *const bad[] = {"",    ".",    "..",   ".web", "a/b", "a b",
					  "a\n", "\303\244", "a:b", "a%"};
	char long_name[ATTACH_NAME_MAX + 1] = "";

	for (u32 i = 0; i < ARRAY_SIZE(good); i++)
		cr_expect(attach_name_is_valid(good[i]), "%s", good[i]);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_not(attach_name_is_valid(bad[i]), "%s", bad[i]);
	memset(long_name, 'x', ATTACH_NAME_MAX);
	cr_expect_not(attach_name_is_valid(long_name));
	long_name[ATTACH_NAME_MAX - 1] = '\0';
	cr_expect(attach_name_is_valid(long_name));
}

Test(attach_check, every_type_breaks_on_a_wrong_header)
{
	for (enum attach_type type = ATTACH_HELLO; type < ATTACH_TYPES; type++) {
		REFUSED(type, "magic", message.header.magic ^= 1);
		REFUSED(type, "version", message.header.version++);
		REFUSED(type, "type", message.header.type = 0);
		REFUSED(type, "type", message.header.type = ATTACH_TYPES);
		REFUSED(type, "type", message.header.type = UINT16_MAX);
		REFUSED(type, "header", message.header.length++);
		REFUSED(type, "header", shape.length--);
		REFUSED(type, "shorter", shape.length = sizeof(message.header) - 1);
		REFUSED(type, "longer", shape.length = ATTACH_MAX_MESSAGE + 1);
		REFUSED(type, "length", message.header.length = ++shape.length);
		REFUSED(type, "descriptors", shape.nfds++);
	}
}

Test(attach_check, every_type_has_its_least_length)
{
	for (enum attach_type type = ATTACH_HELLO; type < ATTACH_TYPES; type++) {
		start_from(type);
		bool bare = type == ATTACH_START || type == ATTACH_ZAPPED ||
			    type == ATTACH_DROPPED || type == ATTACH_REMAPPED ||
			    type == ATTACH_BEGIN;

		shape.length = bare ? 0 : sizeof(struct attach_header);
		message.header.length = shape.length;
		cr_expect_eq(check(), -EPROTO, "%s", attach_type_name(type));
	}
}

Test(attach_check, balloon)
{
	REFUSED(ATTACH_BALLOON, "larger", message.balloon.target_pages = 1ULL << 32);
	ACCEPTED(ATTACH_BALLOON, message.balloon.target_pages = UINT32_MAX);
	REFUSED(ATTACH_GUEST, "devices", message.guest.devices = 2);
	ACCEPTED(ATTACH_GUEST, message.guest.devices = ATTACH_DEVICE_BALLOON);
	REFUSED(ATTACH_BALLOON_STATS, "statistics", message.balloon_stats.valid = 1U << 16);
}

Test(attach_check, drop)
{
	REFUSED(ATTACH_DROP, "kind", message.drop.what = ATTACH_DROP_WHATS);
	REFUSED(ATTACH_DROP, "number of runs", message.drop.count++);
	REFUSED(ATTACH_DROP, "number of runs", message.drop.count = UINT32_MAX);
	REFUSED(ATTACH_DROP, "do not fit", message.drop.count--);
	REFUSED(ATTACH_DROP, "number of runs", message.drop.count = 0);
	REFUSED(ATTACH_DROP, "round", message.drop.round = 1);
	REFUSED(ATTACH_DROP, "reserved", message.drop.reserved = 1);
	REFUSED(ATTACH_DROP, "empty", message.drop.runs[7].count = 0);
	REFUSED(ATTACH_DROP, "wraps", message.drop.runs[7].count = UINT32_MAX);
	REFUSED(ATTACH_DROP, "runs", message.drop.what = ATTACH_DROP_RESET);
}

Test(attach_check, share)
{
	REFUSED(ATTACH_SHARE, "frames", message.share.frame_bytes = 0);
	REFUSED(ATTACH_SHARE, "frames", message.share.frame_bytes += 1);
	REFUSED(ATTACH_SHARE, "descriptors", shape.nfds = 1);
	ACCEPTED(ATTACH_SHARE, message.share.frame_bytes = PAGE_SIZE);
}

#define STAGES(change)                                                                             \
	remap->ranges[0] = (struct attach_remap_range){ATTACH_REMAP_STAGE, REGION_SIZE, 0},        \
	(void)(change)
#define MOVES(change)                                                                              \
	remap->ranges[0] =                                                                         \
		(struct attach_remap_range){REGION_SIZE, REGION_SIZE, ATTACH_REMAP_MOVE},          \
	(void)(change)

Test(attach_check, remap)
{
	struct attach_remap *remap = &message.remap;

	REFUSED(ATTACH_REMAP, "ranges", remap->count = 0);
	REFUSED(ATTACH_REMAP, "ranges", remap->count = ATTACH_MAX_REMAPS + 1);
	REFUSED(ATTACH_REMAP, "reserved", remap->reserved = 1);
	REFUSED(ATTACH_REMAP, "empty", remap->ranges[1].length = 0);
	REFUSED(ATTACH_REMAP, "wraps", remap->ranges[0].file_offset = 0 - PAGE_SIZE);
	REFUSED(ATTACH_REMAP, "frames", remap->ranges[0].frame_offset = 1);
	REFUSED(ATTACH_REMAP, "frames", remap->ranges[0].frame_offset = 0 - 4 * PAGE_SIZE);
	REFUSED(ATTACH_REMAP, "one region", STAGES(remap->ranges[0].length = PAGE_SIZE));
	REFUSED(ATTACH_REMAP, "frames", STAGES(remap->ranges[0].frame_offset = ATTACH_REMAP_HOME));
	ACCEPTED(ATTACH_REMAP, STAGES(0));
	REFUSED(ATTACH_REMAP, "one region", MOVES(remap->ranges[0].length = 2 * REGION_SIZE));
	REFUSED(ATTACH_REMAP, "unaligned", MOVES(remap->ranges[0].file_offset += PAGE_SIZE));
	ACCEPTED(ATTACH_REMAP, MOVES(0));
	ACCEPTED(ATTACH_REMAP, remap->count = ATTACH_MAX_REMAPS;
		 for (u32 i = 0; i < ATTACH_MAX_REMAPS; i++) remap->ranges[i] = remap->ranges[1]);
}

Test(attach_check, hello)
{
	REFUSED(ATTACH_HELLO, "flags", message.hello.flags |= 8);
	REFUSED(ATTACH_HELLO, "reserved", message.hello.reserved = 1);
	ACCEPTED(ATTACH_HELLO, message.hello.flags = 0);
	REFUSED(ATTACH_HELLO, "not bring", message.hello.ram_bytes = REGION_SIZE);
	REFUSED(ATTACH_HELLO, "not bring", message.hello.name[1] = 'x');
}

#define BRINGS(change)                                                                             \
	message.hello.flags = ATTACH_HELLO_BRINGS, message.hello.ram_bytes = 512 * MiB,            \
	message.hello.vcpus = 1, memcpy(message.hello.name, "web-1.a_B", 10), (void)(change)

Test(attach_check, hello_of_a_vmm_that_brings_its_guest)
{
	ACCEPTED(ATTACH_HELLO, BRINGS(0));
	REFUSED(ATTACH_HELLO, "name", BRINGS(message.hello.name[0] = '\0'));
	REFUSED(ATTACH_HELLO, "name", BRINGS(message.hello.name[0] = '.'));
	REFUSED(ATTACH_HELLO, "name", BRINGS(message.hello.name[3] = '/'));
	REFUSED(ATTACH_HELLO, "name", BRINGS(message.hello.name[3] = '\n'));
	REFUSED(ATTACH_HELLO, "name", BRINGS(message.hello.name[12] = 'x'));
	REFUSED(ATTACH_HELLO, "name",
		BRINGS(!memset(message.hello.name, 'x', sizeof(message.hello.name))));
	REFUSED(ATTACH_HELLO, "RAM size", BRINGS(message.hello.ram_bytes = 0));
	REFUSED(ATTACH_HELLO, "RAM size", BRINGS(message.hello.ram_bytes += PAGE_SIZE));
	REFUSED(ATTACH_HELLO, "RAM size", BRINGS(message.hello.ram_bytes = 1ULL << 45));
	REFUSED(ATTACH_HELLO, "vCPUs", BRINGS(message.hello.vcpus = 0));
	REFUSED(ATTACH_HELLO, "vCPUs", BRINGS(message.hello.vcpus = 5000));
}

Test(attach_check, plug)
{
	REFUSED(ATTACH_PLUG, "kind", message.plug.what = 2);
	REFUSED(ATTACH_PLUG, "reserved", message.plug.reserved = 1);
	REFUSED(ATTACH_PLUG, "region", message.plug.region.length = 0);
	REFUSED(ATTACH_PLUG, "region", message.plug.region.hva += PAGE_SIZE);
	REFUSED(ATTACH_PLUG, "region", message.plug.region.file_offset = -REGION_SIZE);
	REFUSED(ATTACH_PLUGGED, "reserved", message.plugged.reserved = 1);
}

Test(attach_check, guest)
{
	struct attach_guest *guest = &message.guest;

	REFUSED(ATTACH_GUEST, "RAM", guest->ram_bytes = 0);
	REFUSED(ATTACH_GUEST, "RAM", guest->ram_bytes += PAGE_SIZE);
	REFUSED(ATTACH_GUEST, "RAM", guest->ram_bytes = 1ULL << 45);
	REFUSED(ATTACH_GUEST, "RAM", guest->ram_bytes = UINT64_MAX & ~(REGION_SIZE - 1));
	REFUSED(ATTACH_GUEST, "data", guest->data_bytes = UINT64_MAX);
	REFUSED(ATTACH_GUEST, "descriptors", guest->data_bytes = 0);
	REFUSED(ATTACH_GUEST, "descriptors", shape.nfds = 1);
	REFUSED(ATTACH_GUEST, "descriptors", shape.nfds = 0);
	REFUSED(ATTACH_GUEST, "vCPUs", guest->vcpus = 0);
	REFUSED(ATTACH_GUEST, "vCPUs", guest->vcpus = UINT32_MAX);
	REFUSED(ATTACH_GUEST, "accelerator", guest->accel = ATTACH_ACCEL_THREAD + 1);
	REFUSED_TEXT(ATTACH_GUEST, guest->name);
	REFUSED_TEXT(ATTACH_GUEST, guest->workload);
	REFUSED_TEXT(ATTACH_GUEST, guest->args);
	ACCEPTED(ATTACH_GUEST, guest->data_bytes = 0, shape.nfds = 1);
	ACCEPTED(ATTACH_GUEST, guest->ram_bytes = 1ULL << 44);
}

Test(attach_check, memory)
{
	struct attach_memory *memory = &message.memory;
	struct attach_region *region = &memory->regions[1];

	REFUSED(ATTACH_MEMORY, "descriptors", shape.nfds = 0);
	REFUSED(ATTACH_MEMORY, "accelerator", memory->accel = ATTACH_ACCEL_AUTO);
	REFUSED(ATTACH_MEMORY, "accelerator", memory->accel = 3);
	REFUSED(ATTACH_MEMORY, "number", memory->count = 0);
	REFUSED(ATTACH_MEMORY, "number", memory->count = ATTACH_MAX_REGIONS + 1);
	REFUSED(ATTACH_MEMORY, "number", memory->count = UINT32_MAX);
	REFUSED(ATTACH_MEMORY, "region is", memory->count = 3);
	REFUSED(ATTACH_MEMORY, "region is", region->length = 0);
	REFUSED(ATTACH_MEMORY, "region is", region->length += PAGE_SIZE);
	REFUSED(ATTACH_MEMORY, "region is", region->gpa += PAGE_SIZE);
	REFUSED(ATTACH_MEMORY, "region is", region->hva += PAGE_SIZE);
	REFUSED(ATTACH_MEMORY, "region is", region->file_offset += 1);
	REFUSED(ATTACH_MEMORY, "region is", region->gpa = -REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "region is", region->hva = -REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "region is", region->file_offset = -REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "region is", region->length = -REGION_SIZE);
}

Test(attach_check, regions_overlap_nowhere)
{
	struct attach_region *a = &message.memory.regions[0], *b = &message.memory.regions[1];

	REFUSED(ATTACH_MEMORY, "overlap", b->gpa = 0);
	REFUSED(ATTACH_MEMORY, "overlap", b->gpa = 3 * GiB - REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "overlap", b->hva = a->hva + REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "overlap", b->file_offset = REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "overlap", a->length += REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "overlap", *b = *a);
	ACCEPTED(ATTACH_MEMORY, b->gpa = 3 * GiB);
	REFUSED(ATTACH_MEMORY, "stage", message.memory.stage = PAGE_SIZE);
	REFUSED(ATTACH_MEMORY, "stage", message.memory.stage = 0 - REGION_SIZE);
	REFUSED(ATTACH_MEMORY, "stage", message.memory.stage = a->hva + a->length - REGION_SIZE);
	ACCEPTED(ATTACH_MEMORY, message.memory.stage = a->hva - REGION_SIZE);
}

Test(attach_check, zap)
{
	struct attach_zap *zap = &message.zap;

	REFUSED(ATTACH_ZAP, "number", zap->count = 0);
	REFUSED(ATTACH_ZAP, "number", zap->count = ATTACH_MAX_RANGES + 1);
	REFUSED(ATTACH_ZAP, "number", zap->count = UINT32_MAX);
	REFUSED(ATTACH_ZAP, "reserved", zap->reserved = 1);
	REFUSED(ATTACH_ZAP, "range is", zap->count = 3);
	REFUSED(ATTACH_ZAP, "range is", zap->ranges[1].length = 0);
	REFUSED(ATTACH_ZAP, "range is", zap->ranges[1].length = 1);
	REFUSED(ATTACH_ZAP, "range is", zap->ranges[1].file_offset = 8);
	REFUSED(ATTACH_ZAP, "range is", zap->ranges[1].file_offset = -PAGE_SIZE);
}

Test(attach_check, a_zap_may_end_with_its_last_range)
{
	const u32 end = offsetof(struct attach_zap, ranges[2]);

	ACCEPTED(ATTACH_ZAP, message.header.length = shape.length = end);
	REFUSED(ATTACH_ZAP, "fit", message.header.length = shape.length = end - 1);
}

Test(attach_check, stop)
{
	REFUSED(ATTACH_STOP, "graceful", message.stop.graceful = 2);
	REFUSED(ATTACH_STOP, "reserved", message.stop.reserved = 1);
	REFUSED_TEXT(ATTACH_STOP, message.stop.reason);
}

Test(attach_check, stats)
{
	REFUSED(ATTACH_STATS, "progress", message.stats.progress = 1001);
	REFUSED_TEXT(ATTACH_STATS, message.stats.phase);
}

Test(attach_check, console_is_as_long_as_its_text)
{
	const u32 one = sizeof(struct attach_header) + 1;

	ACCEPTED(ATTACH_CONSOLE, message.header.length = shape.length = one);
	REFUSED(ATTACH_CONSOLE, "length", message.header.length = shape.length = one - 1);
}

Test(attach_check, exit)
{
	REFUSED(ATTACH_EXIT, "code", message.exit.code = ATTACH_EXIT_CODES);
	REFUSED(ATTACH_EXIT, "reserved", message.exit.reserved = 1);
	REFUSED_TEXT(ATTACH_EXIT, message.exit.text);
}

Test(attach_check, names_know_everything_and_nothing_more)
{
	cr_expect_str_eq(attach_type_name(ATTACH_HELLO), "HELLO");
	cr_expect_str_eq(attach_type_name(ATTACH_EXIT), "EXIT");
	cr_expect_str_eq(attach_type_name(0), "unknown");
	cr_expect_str_eq(attach_type_name(UINT32_MAX), "unknown");
	cr_expect_str_eq(attach_exit_name(ATTACH_EXIT_OK), "ok");
	cr_expect_str_eq(attach_exit_name(ATTACH_EXIT_STOPPED), "stopped");
	cr_expect_str_eq(attach_exit_name(ATTACH_EXIT_CODES), "unknown");
}
