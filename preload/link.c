/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation with the manager. The first mapping of guest memory begins it, in the thread that maps,
 * up to START; whatever comes later is another region, plugged in. QEMU's threads that wait for an answer
 * (DROPPED, PLUGGED) sleep on one condition; the server thread, which alone reads the socket by then, wakes
 * them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "lib/thread.h"
#include "preload/preload.h"

#define WAITERS_MAX ATTACH_MAX_DROPS

/* An answer that a thread of QEMU's waits for. */
struct waiter {
	u32 serial; /* 0: nobody */
	bool answered;
	u32 refused; /* errno of the manager's, of a PLUGGED */
};

static struct {
	pthread_mutex_t mapping; /* one mapping or unmapping at a time; outermost */
	pthread_mutex_t lock;	 /* guards what follows */
	pthread_cond_t changed;
	struct waiter waiters[WAITERS_MAX];
	u32 serial;
	bool lost; /* no manager any more */
} state = {
	.mapping = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

static struct link_view view = {.socket = -1, .uffd = -1, .ram = -1, .frames = -1};
static _Atomic pid_t owner; /* the process that is attached; 0: not yet */

const struct link_view *link_view(void)
{
	return &view;
}

void say(const char *format, ...)
{
	const char *name = getenv("BALLAST_NAME");
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "ballast: guest %s: %s\n", name ? name : "?", text);
}

int start_thread(void *(*run)(void *), const char *name)
{
	pthread_t thread;
	int err = thread_start(&thread, run, NULL);

	if (err)
		return err;
	pthread_setname_np(thread, name);
	pthread_detach(thread);
	return 0;
}

bool link_wanted(void)
{
	static _Atomic int wanted = -1;

	if (wanted < 0)
		wanted = getenv("BALLAST_SOCKET") != NULL;
	return wanted;
}

bool link_active(void)
{
	return owner && owner == getpid();
}

/* A child that QEMU forks, to run a script, has nothing to do with the guest. */
static void forget_in_child(void)
{
	owner = 0;
}

static u64 number_in(const char *variable, u64 otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Awaits one message of a kind. 0, or -errno with the reason said. */
static int await(enum attach_type type, union attach_message *message, int *fds, u32 *nfds)
{
	const char *why = NULL;
	int err = attach_receive(view.socket, message, fds, nfds, &why);

	if (err) {
		say("the manager %s%s",
		    err == -EPIPE ? "closed the connection" : "cannot be understood: ",
		    err == -EPIPE ? ""
		    : why	  ? why
				  : strerror(-err));
		return err;
	}
	if (message->header.type == type)
		return 0;
	for (u32 i = 0; i < *nfds; i++)
		close(fds[i]);
	if (message->header.type == ATTACH_STOP)
		say("the manager does not take it: %s", message->stop.reason);
	else
		say("the manager sent %s where %s was due", attach_type_name(message->header.type),
		    attach_type_name(type));
	return -EACCES;
}

static int send_hello(u64 ram_bytes)
{
	union attach_message message = {.hello = {
						.pid = (u32)getpid(),
						.flags = ATTACH_HELLO_BRINGS | ATTACH_HELLO_SHARES,
						.ram_bytes = ram_bytes,
						.vcpus = (u32)number_in("BALLAST_VCPUS", 1),
					}};
	const char *name = getenv("BALLAST_NAME");

	snprintf(message.hello.name, sizeof(message.hello.name), "%s", name ? name : "");
	return attach_send(view.socket, &message, ATTACH_HELLO, sizeof(message.hello), 0, NULL, 0);
}

/* HELLO and GUEST: the RAM file. */
static int introduce(u64 length)
{
	u64 ram_bytes = MAX(ALIGN_UP(number_in("BALLAST_RAM", 0), REGION_SIZE), length);
	const char *path = getenv("BALLAST_SOCKET");
	union attach_message message;
	int fds[ATTACH_MAX_FDS], err;
	struct stat file;
	u32 nfds;

	view.name = getenv("BALLAST_NAME");
	view.socket = connect_to(path);
	if (view.socket < 0) {
		say("no manager at %s: %s: start `ballast manager`", path, strerror(-view.socket));
		return view.socket;
	}
	err = send_hello(ram_bytes);
	if (!err)
		err = await(ATTACH_GUEST, &message, fds, &nfds);
	if (err)
		return err;
	for (u32 i = 1; i < nfds; i++)
		close(fds[i]);
	view.ram = fds[0];
	view.ram_bytes = message.guest.ram_bytes;
	view.balloon = message.guest.devices & ATTACH_DEVICE_BALLOON;
	if (fstat(view.ram, &file) || (u64)file.st_size < view.ram_bytes ||
	    view.ram_bytes < ram_bytes) {
		say("the manager's RAM file is too small");
		return -EINVAL;
	}
	return 0;
}

/* Puts the RAM file where QEMU wanted its own. */
static int map_piece(void *address, u64 length, int protection, int flags, struct piece *piece)
{
	long at;

	piece->ram_offset = pieces_room(length, view.ram_bytes);
	if (piece->ram_offset == UINT64_MAX) {
		say("no room for %lu MiB more: it has %lu of %lu MiB: raise `memory` of its section, or "
		    "maxmem",
		    length / MiB, pieces_bytes() / MiB, view.ram_bytes / MiB);
		return -ENOMEM;
	}
	at = raw_call(SYS_mmap, (long)address, (long)length, protection, flags | MAP_NORESERVE,
		      view.ram, (long)piece->ram_offset);
	if (at > -4096 && at < 0)
		return (int)at;
	piece->at = (u8 *)at;
	pieces_add(piece);
	if (at % (long)REGION_SIZE) {
		say("its memory lies at %p, not at a multiple of 2 MiB: give the backend align=2M",
		    (void *)at);
		return -EINVAL;
	}
	/* A child of QEMU's would see none of the userfaultfd. */
	raw_call(SYS_madvise, at, (long)length, MADV_DONTFORK, 0, 0, 0);
	return faultfd_register(view.uffd, (u64)at, length, false);
}

static void unmap_piece(const struct piece *piece)
{
	if (!piece->at)
		return;
	pieces_remove(piece);
	raw_call(SYS_munmap, (long)piece->at, (long)piece->length, 0, 0, 0, 0);
}

static struct attach_region region_of(const struct piece *piece)
{
	return (struct attach_region){
		.gpa = piece->ram_offset, /* which is as good: nobody asks for more than a name */
		.hva = (u64)(uintptr_t)piece->at,
		.file_offset = piece->ram_offset,
		.length = piece->length,
	};
}

/* Where regions are composed: attach/attach.h. */
static u8 *reserve_stage(void)
{
	long at = raw_call(SYS_mmap, 0, (long)(2 * REGION_SIZE), PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at > -4096 && at < 0 ? NULL : (u8 *)ALIGN_UP((u64)at, REGION_SIZE);
}

/* MEMORY, and all up to START. */
static int hand_over(const struct piece *piece)
{
	const char *accel = getenv("BALLAST_ACCEL");
	union attach_message message = {.memory = {
						.accel = accel && !strcmp(accel, "kvm")
								 ? ATTACH_ACCEL_KVM
								 : ATTACH_ACCEL_THREAD,
						.count = 1,
						.regions = {region_of(piece)},
					}};
	int fds[ATTACH_MAX_FDS], err;
	const char *why = NULL;
	u32 nfds;

	view.stage = reserve_stage();
	message.memory.stage = (u64)(uintptr_t)view.stage;
	err = attach_send(view.socket, &message, ATTACH_MEMORY, sizeof(message.memory), 0,
			  &view.uffd, 1);
	if (err)
		return err;
	/* SHARE comes or does not. */
	err = attach_receive(view.socket, &message, fds, &nfds, &why);
	if (!err && message.header.type == ATTACH_SHARE) {
		close(fds[0]); /* the RAM file, which we have */
		view.frames = fds[1];
		view.frame_bytes = message.share.frame_bytes;
		return await(ATTACH_START, &message, fds, &nfds);
	}
	if (!err && message.header.type == ATTACH_START)
		return 0;
	if (!err && message.header.type == ATTACH_STOP)
		say("the manager does not take it: %s", message.stop.reason);
	else
		say("the manager does not take its memory over: %s",
		    err == -EPIPE ? "it closed the connection"
		    : why	  ? why
				  : strerror(err ? -err : EPROTO));
	return -EACCES;
}

/* QEMU ends by itself: the manager need not wonder why. */
static void say_goodbye(void)
{
	union attach_message message = {.exit = {.code = ATTACH_EXIT_OK, .text = "QEMU has ended"}};

	if (link_active())
		attach_send(view.socket, &message, ATTACH_EXIT, sizeof(message.exit), 0, NULL, 0);
}

/* From here on, hooks act on guest memory. */
static int go_live(void)
{
	int err;

	pthread_atfork(NULL, NULL, forget_in_child);
	atexit(say_goodbye);
	owner = getpid();
	err = server_start();
	if (!err && view.balloon)
		err = keeper_start();
	return err;
}

static int attach(void *address, u64 length, int protection, int flags, struct piece *piece)
{
	int err = introduce(length);

	if (err)
		return err;
	view.uffd = faultfd_open(true);
	if (view.uffd < 0) {
		say("cannot open a userfaultfd: %s: run QEMU as root, or set the sysctl "
		    "vm.unprivileged_userfaultfd=1, or allow it /dev/userfaultfd",
		    strerror(-view.uffd));
		return view.uffd;
	}
	err = map_piece(address, length, protection, flags, piece);
	if (!err)
		err = hand_over(piece);
	if (!err)
		err = go_live();
	return err;
}

/* Takes a place among those who wait: its serial, 0 when the manager is gone. Sleeps while all are taken. */
static u32 take_turn(struct waiter **waiter)
{
	u32 serial = 0;

	*waiter = NULL;
	pthread_mutex_lock(&state.lock);
	while (!state.lost && !*waiter) {
		for (u32 i = 0; i < WAITERS_MAX && !*waiter; i++)
			if (!state.waiters[i].serial)
				*waiter = &state.waiters[i];
		if (!*waiter)
			pthread_cond_wait(&state.changed, &state.lock);
	}
	if (!state.lost) {
		serial = ++state.serial ? state.serial : ++state.serial;
		**waiter = (struct waiter){.serial = serial};
	}
	pthread_mutex_unlock(&state.lock);
	return serial;
}

/* Sleeps until it is answered. 0, -errno of the manager's, or -EPIPE. */
static int await_turn(struct waiter *waiter)
{
	int err;

	pthread_mutex_lock(&state.lock);
	while (!state.lost && !waiter->answered)
		pthread_cond_wait(&state.changed, &state.lock);
	err = waiter->answered ? -(int)waiter->refused : -EPIPE;
	waiter->serial = 0;
	pthread_cond_broadcast(&state.changed);
	pthread_mutex_unlock(&state.lock);
	return err;
}

void link_answered(u32 serial, u32 refused)
{
	pthread_mutex_lock(&state.lock);
	for (u32 i = 0; i < WAITERS_MAX; i++) {
		if (!serial || state.waiters[i].serial != serial)
			continue;
		state.waiters[i].answered = true;
		state.waiters[i].refused = MIN(refused, 4095U);
	}
	pthread_cond_broadcast(&state.changed);
	pthread_mutex_unlock(&state.lock);
}

void link_lost(const char *why)
{
	pthread_mutex_lock(&state.lock);
	state.lost = true;
	pthread_cond_broadcast(&state.changed);
	pthread_mutex_unlock(&state.lock);
	say("%s", why);
}

/* Sends a question and awaits the answer. */
static int ask(union attach_message *message, enum attach_type type, u32 length)
{
	struct waiter *waiter;
	u32 serial = take_turn(&waiter);

	if (!serial)
		return -EPIPE;
	if (attach_send(view.socket, message, type, length, serial, NULL, 0))
		link_answered(serial, EPIPE);
	return await_turn(waiter);
}

static int plug(const struct piece *piece, enum attach_plug_what what)
{
	union attach_message message = {.plug = {.what = what, .region = region_of(piece)}};

	return ask(&message, ATTACH_PLUG, sizeof(message.plug));
}

static int map_more(void *address, u64 length, int protection, int flags, struct piece *piece)
{
	int err = map_piece(address, length, protection, flags, piece);

	if (err)
		return err;
	err = plug(piece, ATTACH_PLUG_IN);
	if (err)
		say("the manager does not take %lu MiB more: %s", length / MiB, strerror(-err));
	return err;
}

void *link_map(void *address, u64 length, int protection, int flags, const struct piece *wanted)
{
	struct piece piece = *wanted;
	int err;

	pthread_mutex_lock(&state.mapping);
	if (link_active())
		err = map_more(address, length, protection, flags, &piece);
	else
		err = view.socket >= 0 ? -EACCES
				       : attach(address, length, protection, flags, &piece);
	if (err)
		unmap_piece(&piece);
	pthread_mutex_unlock(&state.mapping);
	if (!err)
		return piece.at;
	errno = -err;
	return MAP_FAILED;
}

int link_discard(u64 offset, u64 length)
{
	union attach_message message = {.drop = {.what = ATTACH_DROP_FREE, .count = 1}};

	/* Only whole pages: of the others there is something left. */
	u64 first = ALIGN_UP(offset, PAGE_SIZE) / PAGE_SIZE, end = (offset + length) / PAGE_SIZE;

	if (first >= end)
		return 0;
	message.drop.runs[0] = (struct attach_run){(u32)first, (u32)(end - first)};
	return ask(&message, ATTACH_DROP, (u32)offsetof(struct attach_drop, runs[1]));
}

void link_unmap(const struct piece *piece)
{
	int err;

	pthread_mutex_lock(&state.mapping);
	err = link_discard(piece->ram_offset, piece->length);
	if (!err)
		err = plug(piece, ATTACH_PLUG_OUT);
	if (err)
		say("the manager does not let %lu MiB go: %s", piece->length / MiB, strerror(-err));
	pieces_remove(piece);
	pthread_mutex_unlock(&state.mapping);
}
