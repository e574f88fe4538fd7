/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that does what the manager asks: unmap (ZAP), map frames or the RAM file (REMAP), and passes on
 * what is for others. It must never wait for a page, so it touches no guest memory, and takes no lock under
 * which somebody does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bits.h"
#include "preload/preload.h"

/* Pages that frames are mapped for, a bit each. Of this thread alone. */
static u64 *foreign;
static bool staged; /* there is something at the stage */

static bool is_foreign(u64 page)
{
	return foreign && bits_have(foreign, page);
}

static void note_foreign(u64 first, u64 count, bool now)
{
	for (u64 i = first; i < first + count; i++)
		bits_put(foreign, i, now);
}

static bool in_ram(u64 offset, u64 length)
{
	u64 bytes = link_view()->ram_bytes;

	return length <= bytes && offset <= bytes - length;
}

/* Unmaps what is not a frame's, in runs. */
static void zap_mapped(u8 *at, u64 offset, u64 length)
{
	u64 first = offset / PAGE_SIZE, end = (offset + length) / PAGE_SIZE;

	for (u64 page = first, from; page < end; page++) {
		from = page;
		while (page < end && !is_foreign(page))
			page++;
		if (page > from)
			raw_call(SYS_madvise, (long)(at + (from - first) * PAGE_SIZE),
				 (long)((page - from) * PAGE_SIZE), MADV_DONTNEED, 0, 0, 0);
	}
}

static int zap(const struct attach_zap *message)
{
	for (u32 i = 0; i < message->count; i++) {
		u64 offset = message->ranges[i].file_offset, left = message->ranges[i].length;
		u64 part;

		if (!in_ram(offset, left))
			return -ERANGE;
		for (; left; offset += part, left -= part) {
			u8 *at = pieces_map(offset, left, &part);

			if (at)
				zap_mapped(at, offset, part);
		}
	}
	return 0;
}

static int map(u8 *at, u64 length, int flags, int fd, u64 offset)
{
	long result = raw_call(SYS_mmap, (long)at, (long)length, PROT_READ | PROT_WRITE,
			       flags | MAP_FIXED | MAP_NORESERVE, fd, (long)offset);

	if (result > -4096 && result < 0)
		return (int)result;
	/* As the rest of it, or the kernel could not join the two again. */
	raw_call(SYS_madvise, (long)at, (long)length, MADV_DONTFORK, 0, 0, 0);
	return 0;
}

static int map_frames(u8 *at, u64 length, u64 frame_offset)
{
	const struct link_view *view = link_view();

	if (length > view->frame_bytes || frame_offset > view->frame_bytes - length)
		return -ERANGE;
	return map(at, length, MAP_PRIVATE, view->frames, frame_offset);
}

static int stage(const struct attach_remap_range *range)
{
	u8 *at = link_view()->stage;
	int err = at && range->length == REGION_SIZE
			  ? map_frames(at, range->length, range->frame_offset)
			  : -EFAULT;

	staged = !err;
	return err;
}

/* What was moved stays mapped at the stage, empty: nobody else shall find the addresses free. */
static int move_stage(u8 *at, u64 length)
{
	u8 *from = link_view()->stage;
	long result;

	if (!staged || length != REGION_SIZE)
		return -EFAULT;
	staged = false;
	raw_call(SYS_madvise, (long)from, (long)length, MADV_POPULATE_READ, 0, 0, 0);
	result = raw_call(SYS_mremap, (long)from, (long)length, (long)length,
			  MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, (long)at, 0);
	return result > -4096 && result < 0 ? (int)result : 0;
}

static int remap_one(const struct attach_remap_range *range)
{
	bool home = range->frame_offset == ATTACH_REMAP_HOME;
	u64 part;
	u8 *at;
	int err;

	if (range->file_offset == ATTACH_REMAP_STAGE)
		return stage(range);
	if (!in_ram(range->file_offset, range->length))
		return -ERANGE;
	at = pieces_map(range->file_offset, range->length, &part);
	if (!at || part != range->length)
		return -EFAULT;
	if (home)
		err = map(at, range->length, MAP_SHARED, link_view()->ram, range->file_offset);
	else if (range->frame_offset == ATTACH_REMAP_MOVE)
		err = move_stage(at, range->length);
	else
		err = map_frames(at, range->length, range->frame_offset);
	if (!err)
		note_foreign(range->file_offset / PAGE_SIZE, range->length / PAGE_SIZE, !home);
	return err;
}

static int remap(const struct attach_remap *message)
{
	int err = foreign ? 0 : -EPROTO;

	for (u32 i = 0; i < message->count && !err; i++)
		err = remap_one(&message->ranges[i]);
	return err;
}

static int answer(enum attach_type type, u32 serial)
{
	union attach_message message;

	return attach_send(link_view()->socket, &message, type, sizeof(message.header), serial,
			   NULL, 0);
}

/* A guest that has lost a page cannot even be paused by QEMU: the manager kills what does not end. */
static void stop(const struct attach_stop *message)
{
	say("the manager ends it: %s", message->reason);
	if (message->graceful)
		keeper_powerdown();
	else
		kill(getpid(), SIGTERM);
}

/* 0, or why it cannot go on. */
static int handle(const union attach_message *message)
{
	u32 serial = message->header.serial;
	int err = 0;

	switch (message->header.type) {
	case ATTACH_ZAP:
		err = zap(&message->zap);
		return err ? err : answer(ATTACH_ZAPPED, serial);
	case ATTACH_REMAP:
		err = remap(&message->remap);
		return err ? err : answer(ATTACH_REMAPPED, serial);
	case ATTACH_DROPPED:
		link_answered(serial, 0);
		return 0;
	case ATTACH_PLUGGED:
		link_answered(serial, message->plugged.refused);
		return 0;
	case ATTACH_BALLOON:
		keeper_order(&message->balloon);
		return 0;
	case ATTACH_STOP:
		stop(&message->stop);
		return 0;
	case ATTACH_BEGIN:
		return 0; /* for guests with workloads */
	default:
		return -EPROTO;
	}
}

static void *serve(void *unused)
{
	static union attach_message message;
	int fds[ATTACH_MAX_FDS], err;
	const char *why = NULL;
	u32 nfds;

	(void)unused;
	do {
		err = attach_receive(link_view()->socket, &message, fds, &nfds, &why);
		for (u32 i = 0; !err && i < nfds; i++)
			close(fds[i]);
		if (!err)
			err = handle(&message);
	} while (!err);
	if (err != -EPIPE) {
		/* Half of a remap is no state to run in. */
		say("the conversation with the manager broke: %s", why ? why : strerror(-err));
		kill(getpid(), SIGKILL);
	}
	link_lost(
		"the manager is gone, and with it pages of this guest: it is paused at the next of "
		"them it touches, and cannot go on. End it (kill -9), and start it again under a "
		"new manager");
	return NULL;
}

int server_start(void)
{
	const struct link_view *view = link_view();

	if (view->frames >= 0) {
		foreign = calloc(view->ram_bytes / PAGE_SIZE / 64 + 1, sizeof(*foreign));
		if (!foreign)
			return -ENOMEM;
	}
	return start_thread(serve, "ballast-attach");
}
