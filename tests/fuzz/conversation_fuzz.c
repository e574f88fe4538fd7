/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer on what a VMM that brings its guest says, over a real socket: HELLO, MEMORY, and then parts of its memory
 * that come and go (PLUG). The input is a list of steps: a type, how many descriptors go along, whether the message
 * comes in two pieces, and patches to it. Whatever the socket makes of that, attach_receive() must judge a packet
 * as attach_check() does, leave no descriptor behind, and show nothing of the message before; and the table of
 * what is mapped where must agree with a plain list.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem/memory.h"
#include "mem/space.h"
#include "tests/unit/attach_valid.h"

#define RAM_BYTES (64 * MiB)
#define BASE	  0x7f0000000000ULL
#define FDS_MOST  (ATTACH_MAX_FDS + 1)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* The steps that are left. */
struct script {
	const u8 *data;
	size_t size;
};

struct visit {
	int vmm, manager; /* the socket's ends */
	bool heard;	  /* HELLO of one that brings its guest */
	bool runs;	  /* its memory was taken over */
	struct space_mapping mapped[SPACE_MAX_MAPPINGS];
	u32 count;
};

static struct space *space; /* one for all inputs: empty, no page of it is ever touched */

static void make_space(void)
{
	static struct memory memory;
	struct space_options options = {.name = "fuzz",
					.ram = memfd_create("fuzz", MFD_CLOEXEC),
					.uffd = -1,
					.pagemap = -1,
					.pidfd = -1,
					.bytes = RAM_BYTES,
					.threads = 1};

	memory_init(&memory, RAM_BYTES);
	if (options.ram < 0 || ftruncate(options.ram, RAM_BYTES) ||
	    space_begin(&memory, &options, &space))
		abort();
}

/* A new guest's: nothing is mapped. */
static void empty_map(void)
{
	struct space_map *map = atomic_load(&space->map), *before;

	while (map->before) {
		before = map->before;
		free(map);
		map = before;
	}
	map->count = 0;
	atomic_store(&space->map, map);
	space->map_changes = 0;
}

static u8 next(struct script *script)
{
	if (!script->size)
		return 0;
	script->size--;
	return *script->data++;
}

/* A part of memory that may well be one. */
static struct attach_region next_region(struct script *script)
{
	u64 place = next(script), address = next(script), length = 1 + next(script) % 8;

	return (struct attach_region){.gpa = place * REGION_SIZE,
				      .hva = BASE + address * REGION_SIZE,
				      .file_offset = place % 36 * REGION_SIZE,
				      .length = length * REGION_SIZE};
}

/* The next message: valid, but for its patches. */
static u32 next_message(struct script *script, enum attach_type type, u32 patches,
			union attach_message *message)
{
	struct attach_shape shape = valid_message(message, type);

	if (type == ATTACH_HELLO) {
		message->hello.flags = ATTACH_HELLO_BRINGS | next(script) % 4;
		message->hello.ram_bytes = RAM_BYTES;
		message->hello.vcpus = 1;
		strcpy(message->hello.name, "fuzz");
	} else if (type == ATTACH_MEMORY) {
		message->memory.count = 1;
		message->memory.regions[0] = next_region(script);
	} else if (type == ATTACH_PLUG) {
		message->plug.what = next(script) % 2;
		message->plug.region = next_region(script);
	}
	while (patches--) {
		u32 at = (u32)next(script) << 8 | next(script);

		message->bytes[at % shape.length] = next(script);
	}
	return shape.length;
}

static void send_packet(int socket, const void *bytes, size_t length, u32 nfds)
{
	_Alignas(struct cmsghdr) u8 control[CMSG_SPACE(FDS_MOST * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr packet = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg = (struct cmsghdr *)control;

	if (nfds) {
		packet.msg_control = control;
		packet.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (u32 i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &socket, sizeof(int));
	}
	if (sendmsg(socket, &packet, MSG_NOSIGNAL) != (ssize_t)length)
		abort();
}

static int lowest_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static bool overlap(u64 a, u64 b, u64 a_length, u64 b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* What space_plug() is to say. */
static int judge_plug(const struct visit *visit, const struct space_mapping *part)
{
	if (part->length > RAM_BYTES || part->file_offset > RAM_BYTES - part->length)
		return -EINVAL;
	for (u32 i = 0; i < visit->count; i++) {
		const struct space_mapping *other = &visit->mapped[i];

		if (overlap(part->hva, other->hva, part->length, other->length) ||
		    overlap(part->file_offset, other->file_offset, part->length, other->length))
			return -EEXIST;
	}
	return visit->count == SPACE_MAX_MAPPINGS ? -ENOSPC : 0;
}

static void plug_in(struct visit *visit, const struct space_mapping *part)
{
	int result = space_plug(space, part);

	if (result == -ENOSPC && visit->count < SPACE_MAX_MAPPINGS)
		return; /* too many changes */
	assert(result == judge_plug(visit, part));
	if (!result)
		visit->mapped[visit->count++] = *part;
}

static void plug_out(struct visit *visit, const struct space_mapping *part)
{
	int result = space_unplug(space, part);
	u32 i = 0;

	while (i < visit->count && memcmp(&visit->mapped[i], part, sizeof(*part)))
		i++;
	assert(result == -ENOSPC || result == (i < visit->count ? 0 : -ENOENT));
	if (!result)
		visit->mapped[i] = visit->mapped[--visit->count];
}

/* Both ends of each part are where they should be, and what is beyond is not. */
static void check_map(const struct visit *visit)
{
	for (u32 i = 0; i < visit->count; i++) {
		const struct space_mapping *part = &visit->mapped[i];
		u64 first = part->file_offset / PAGE_SIZE;
		u64 last = first + part->length / PAGE_SIZE - 1;

		assert(space_hva(space, first) == part->hva);
		assert(space_hva(space, last) == part->hva + part->length - PAGE_SIZE);
		assert(space_index(space, part->hva + part->length - 1) == (s64)last);
	}
	if (!visit->count)
		assert(space_index(space, BASE) == -EFAULT && !space_hva(space, 0));
}

static struct space_mapping part_of(const struct attach_region *region)
{
	return (struct space_mapping){region->hva, region->file_offset, region->length};
}

/* As a manager does: a message that is not due means nothing. */
static void act(struct visit *visit, const union attach_message *message)
{
	struct space_mapping part;

	if (message->header.type == ATTACH_HELLO && !visit->heard) {
		visit->heard = message->hello.flags & ATTACH_HELLO_BRINGS;
	} else if (message->header.type == ATTACH_MEMORY && visit->heard && !visit->runs) {
		visit->runs = true;
		for (u32 i = 0; i < message->memory.count; i++) {
			part = part_of(&message->memory.regions[i]);
			plug_in(visit, &part);
		}
	} else if (message->header.type == ATTACH_PLUG && visit->runs) {
		part = part_of(&message->plug.region);
		if (message->plug.what == ATTACH_PLUG_IN)
			plug_in(visit, &part);
		else
			plug_out(visit, &part);
	}
	check_map(visit);
}

/* One packet goes over. */
static void pass(struct visit *visit, const u8 *bytes, size_t length, u32 nfds)
{
	static union attach_message got;
	int fds[ATTACH_MAX_FDS], result, expected, mark = lowest_fd();
	union attach_message *copy;
	const char *why, *unused;
	u32 arrived;

	if (!length)
		return;
	send_packet(visit->vmm, bytes, length, nfds);
	result = attach_receive(visit->manager, &got, fds, &arrived, &why);
	copy = malloc(length); /* of its very size, for the sanitizer */
	if (!copy)
		abort();
	memcpy(copy, bytes, length);
	expected = nfds > ATTACH_MAX_FDS ? -EPROTO : attach_check(copy, (u32)length, nfds, &unused);
	free(copy);
	assert(result == expected && !why == !result && arrived == (result ? 0 : nfds));
	for (u32 i = 0; i < arrived; i++)
		close(fds[i]);
	assert(lowest_fd() == mark);
	if (result)
		return;
	for (size_t i = length; i < sizeof(got); i++)
		assert(!got.bytes[i]);
	act(visit, &got);
}

static void step(struct visit *visit, struct script *script)
{
	static const enum attach_type often[] = {ATTACH_HELLO, ATTACH_MEMORY, ATTACH_PLUG,
						 ATTACH_PLUG};
	static union attach_message message;
	u8 what = next(script), how = next(script);
	enum attach_type type =
		what & 0x80 ? 1 + what % (ATTACH_TYPES - 1) : often[what % ARRAY_SIZE(often)];
	u32 nfds = how & 0x40 ? how % (FDS_MOST + 1) : valid_shape(type).nfds;
	u32 length = next_message(script, type, how & 0x20 ? 1 + how % 8 : 0, &message);
	u32 cut = how & 0x80 ? ((u32)next(script) << 8 | next(script)) % length : length;

	pass(visit, message.bytes, cut, nfds);
	pass(visit, message.bytes + cut, length - cut, 0);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct script script = {data, size};
	struct visit visit = {.count = 0};
	int ends[2];

	if (!space)
		make_space();
	empty_map();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		abort();
	visit.vmm = ends[0];
	visit.manager = ends[1];
	while (script.size)
		step(&visit, &script);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
