/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libballast-attach.so: puts the guest of a VMM that knows nothing of Ballast under a manager. Loaded into
 * QEMU with LD_PRELOAD, it recognises the mapping of guest RAM and puts in its place the same range of the RAM
 * file that the manager made, registered with a userfaultfd (docs/qemu.md, docs/attach.md).
 *
 *	hooks.c   what QEMU asks of the C library, as far as it concerns guest memory
 *	pieces.c  which memory that is
 *	link.c    the conversation with the manager
 *	server.c  the thread that does what the manager asks
 *	qmp.c, keeper.c  the thread that moves the balloon, through QEMU's own monitor
 *
 * Two threads, which block all signals and never touch guest memory: a page that the manager keeps would
 * stop them. Settings come in the environment, from `ballast wrap`.
 */
#ifndef PRELOAD_PRELOAD_H
#define PRELOAD_PRELOAD_H

#include <stdatomic.h>
#include <sys/types.h>

#include "attach/attach.h"

/* Part of the guest's RAM: a range of the manager's RAM file, mapped in the place of a file of QEMU's. */
struct piece {
	u8 *at; /* NULL: none */
	u64 length;
	u64 ram_offset; /* in the RAM file */
	dev_t device;	/* QEMU's file, */
	ino_t inode;
	u64 file_offset; /* ... and the place in it */
};

/* Pages of the RAM file. */
struct span {
	u64 offset, length;
};

/* ---- pieces.c: takes its own lock; all functions from any thread ---- */

/* A place for `length` bytes in a RAM file of ram_bytes; UINT64_MAX when there is none. By one thread at a time,
 * until it adds the piece. */
u64 pieces_room(u64 length, u64 ram_bytes);
void pieces_add(const struct piece *piece);
void pieces_remove(const struct piece *piece);

/* The piece that has this address, or this byte of that file. */
bool pieces_at(const void *address, struct piece *piece);
bool pieces_of(dev_t device, ino_t inode, u64 file_offset, struct piece *piece);
bool pieces_know(dev_t device, ino_t inode);

/* Number `i` in the table: false when that place is empty. i < ATTACH_PIECES_MAX. */
bool pieces_get(u32 i, struct piece *piece);
#define ATTACH_PIECES_MAX 32U

/* Guest memory in use, in bytes. */
u64 pieces_bytes(void);

/* What of [offset, offset + length) of the RAM file is mapped in one piece from its start on: its address and
 * *part; NULL, and *part, where nothing is. */
u8 *pieces_map(u64 offset, u64 length, u64 *part);

/* ---- link.c ---- */

/* Whether there is a manager to attach to: `ballast wrap` said where. */
bool link_wanted(void);

/*
 * Maps `length` bytes of guest RAM where mmap(2) would have mapped QEMU's file, and has the manager take them
 * on, the first time with all that goes before. Returns the address, or MAP_FAILED with errno, the reason said
 * on standard error.
 */
void *link_map(void *address, u64 length, int protection, int flags, const struct piece *piece);

/* Gives the pages up: their content is void when this returns. 0 or -errno. */
int link_discard(u64 offset, u64 length);

/* QEMU unmaps a piece for good. */
void link_unmap(const struct piece *piece);

/* Guest memory is attached, and this is the process that did it, not a child it has forked. */
bool link_active(void);

/* For the server thread: an answer of this serial has come; the manager is gone. */
void link_answered(u32 serial, u32 refused);
void link_lost(const char *why);

/* The parts that the threads need. */
struct link_view {
	int socket;
	int uffd; /* for as long as the process lives */
	int ram;
	int frames; /* -1: nothing is shared */
	u8 *stage;  /* a region's size of address space of our own; NULL: there was none */
	u64 ram_bytes, frame_bytes;
	bool balloon; /* the guest is to have one */
	const char *name;
};
const struct link_view *link_view(void);

/* "ballast: guest NAME: ...", on standard error. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A thread of ours. 0 or -errno. */
int start_thread(void *(*run)(void *), const char *name);

/* ---- server.c ---- */

/* To be called once, when START has come. 0 or -errno. */
int server_start(void);

/* ---- keeper.c ---- */

int keeper_start(void);

/* What the manager wants; and that the guest should shut down. Do not wait for it. */
void keeper_order(const struct attach_balloon *order);
void keeper_powerdown(void);

/* ---- qmp.c: QEMU's monitor. One thread. ---- */

struct qmp;

/* Connects and negotiates, when the monitor is there: NULL and *why otherwise. A descriptor that
 * `ballast wrap` made goes before a path. */
struct qmp *qmp_open(const char **why);
void qmp_close(struct qmp *qmp);

/* Its descriptor, for poll(2). */
int qmp_fd(const struct qmp *qmp);

/* Forgets what has come unasked. -EPIPE when the monitor is gone. */
int qmp_drain(struct qmp *qmp);

/* balloon: the guest's size, in bytes. query-balloon likewise; an answer without one leaves *bytes as it is. 0;
 * -ENODEV, QEMU refuses (no balloon device); -EPIPE, the monitor is gone. */
int qmp_set_size(struct qmp *qmp, u64 bytes);
int qmp_get_size(struct qmp *qmp, u64 *bytes);
int qmp_powerdown(struct qmp *qmp);

/* The balloon device's statistics by tag of the virtio specification, and when they were true, in seconds of
 * the realtime clock; 0: never. Asks QEMU to poll them every `seconds`. */
struct qmp_stats {
	u64 values[ATTACH_STATS_TAGS];
	u32 valid;
	u64 updated_s;
};
int qmp_get_stats(struct qmp *qmp, u32 seconds, struct qmp_stats *stats);

/* ---- raw.c: system calls that no hook sees ---- */

long raw_call(long number, long a, long b, long c, long d, long e, long f);

#endif
