/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/lobby.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

#define SEATS	      (LOBBY_POLLS - 1)
#define SEATS_A_USER  (SEATS / 4)
#define PATIENCE      (5 * NSEC_PER_SEC)
#define LOGS_A_SECOND 5

struct seat {
	struct visitor visitor;
	bool taken, heard; /* heard: it has said HELLO */
	u64 until_ns;
};

struct lobby {
	int socket;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct seat seats[SEATS];
};

/* A socket's file that nobody listens at. */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
		       errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return refused;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE || !is_stale(address))
		return -errno;
	unlink(address->sun_path);
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
}

static int hand_to(const char *path, u32 mode, const char *group)
{
	const struct group *entry = group[0] ? getgrnam(group) : NULL;

	if (group[0] && !entry)
		return -ENOENT;
	if (entry && chown(path, (uid_t)-1, entry->gr_gid))
		return -errno;
	return chmod(path, mode) ? -errno : 0;
}

/* Nobody gets in between bind() and chmod(). */
static int listen_at(int fd, const struct sockaddr_un *address, u32 mode, const char *group)
{
	mode_t before = umask(0777);
	int result = bind_to(fd, address);

	umask(before);
	if (!result)
		result = hand_to(address->sun_path, mode, group);
	if (!result && listen(fd, 16))
		result = -errno;
	return result;
}

int lobby_open(const char *path, u32 mode, const char *group, struct lobby **out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct lobby *lobby = calloc(1, sizeof(*lobby));
	int result = -ENOMEM;

	if (!lobby)
		return result;
	result = -ENAMETOOLONG;
	lobby->socket = -1;
	if (strlen(path) >= sizeof(address.sun_path))
		goto fail;
	strcpy(address.sun_path, path);
	strcpy(lobby->path, path);
	lobby->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	result = lobby->socket < 0 ? -errno : listen_at(lobby->socket, &address, mode, group);
	if (result)
		goto fail;
	*out = lobby;
	return 0;
fail:
	log_error("attach = %s: cannot listen there: %s", path,
		  result == -EADDRINUSE ? "another manager does, or it is no socket"
		  : result == -ENOENT	? "no such folder, or no such group as attach-group says"
					: strerror(-result));
	if (lobby->socket >= 0)
		close(lobby->socket);
	free(lobby);
	return result;
}

static void close_visitor(const struct visitor *visitor)
{
	close(visitor->socket);
	close(visitor->process.pidfd);
}

/* A flood of visitors shall not be one of messages. */
static bool may_log(void)
{
	static u64 second;
	static u32 count;
	u64 now = clock_now_ns() / NSEC_PER_SEC;

	count = now == second ? count + 1 : 1;
	second = now;
	return count <= LOGS_A_SECOND;
}

void lobby_turn_away(const struct visitor *visitor, const char *format, ...)
{
	union attach_message message = {.stop = {.graceful = 0}};
	va_list args;

	va_start(args, format);
	vsnprintf(message.stop.reason, sizeof(message.stop.reason), format, args);
	va_end(args);
	if (may_log())
		log_warn("process %d of user %u is turned away: %s", visitor->process.pid,
			 visitor->uid, message.stop.reason);
	attach_send(visitor->socket, &message, ATTACH_STOP, sizeof(message.stop), 0, NULL, 0);
	close_visitor(visitor);
}

void lobby_close(struct lobby *lobby)
{
	if (!lobby)
		return;
	for (u32 i = 0; i < SEATS; i++)
		if (lobby->seats[i].taken)
			close_visitor(&lobby->seats[i].visitor);
	unlink(lobby->path);
	close(lobby->socket);
	free(lobby);
}

u32 lobby_polls(const struct lobby *lobby, struct pollfd polls[LOBBY_POLLS])
{
	polls[0] = (struct pollfd){.fd = lobby->socket, .events = POLLIN};
	for (u32 i = 0; i < SEATS; i++)
		polls[i + 1] = (struct pollfd){
			.fd = lobby->seats[i].taken && !lobby->seats[i].heard
				      ? lobby->seats[i].visitor.socket
				      : -1,
			.events = POLLIN,
		};
	return LOBBY_POLLS;
}

static struct seat *find_seat(struct lobby *lobby, u32 uid)
{
	struct seat *seat = NULL;
	u32 same = 0;

	for (u32 i = 0; i < SEATS; i++) {
		if (!lobby->seats[i].taken)
			seat = &lobby->seats[i];
		else
			same += lobby->seats[i].visitor.uid == uid;
	}
	return same < SEATS_A_USER ? seat : NULL;
}

/* Lets one in. False when nobody waits. */
static bool accept_one(struct lobby *lobby, u64 now_ns)
{
	struct visitor visitor = {
		.socket = accept4(lobby->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)};
	struct seat *seat;

	if (visitor.socket < 0)
		return errno == ECONNABORTED || errno == EINTR;
	if (process_of_peer(&visitor.process, visitor.socket, &visitor.uid)) {
		close(visitor.socket); /* dead already */
		return true;
	}
	seat = find_seat(lobby, visitor.uid);
	if (!seat)
		lobby_turn_away(&visitor, "too many connect at once: try again");
	else
		*seat = (struct seat){
			.visitor = visitor, .taken = true, .until_ns = now_ns + PATIENCE};
	return true;
}

/* What it says, once: HELLO, or it goes. */
static void hear(struct seat *seat)
{
	struct visitor *visitor = &seat->visitor;
	union attach_message message;
	int fds[ATTACH_MAX_FDS], result;
	const char *why = NULL;
	u32 nfds;

	result = attach_receive(visitor->socket, &message, fds, &nfds, &why);
	if (result == -EAGAIN)
		return;
	for (u32 i = 0; !result && i < nfds; i++)
		close(fds[i]);
	if (!result && message.header.type == ATTACH_HELLO &&
	    message.hello.flags & ATTACH_HELLO_BRINGS) {
		visitor->hello = message.hello;
		seat->heard = true;
		return;
	}
	seat->taken = false;
	if (result == -EPIPE)
		close_visitor(visitor);
	else
		lobby_turn_away(visitor, "it broke the attach protocol: %s",
				why ? why : "HELLO of a VMM that brings its guest was due");
}

void lobby_serve(struct lobby *lobby, const struct pollfd *polls, u32 count, u64 now_ns)
{
	for (u32 i = 0; i < SEATS && i + 1 < count; i++) {
		struct seat *seat = &lobby->seats[i];

		if (seat->taken && !seat->heard && polls[i + 1].revents)
			hear(seat);
		if (seat->taken && !seat->heard && now_ns >= seat->until_ns) {
			seat->taken = false;
			lobby_turn_away(&seat->visitor, "it did not say HELLO in time");
		}
	}
	/* So many at a time, and the guests have their turn again. */
	for (u32 i = 0; i < SEATS && count && polls[0].revents && accept_one(lobby, now_ns); i++)
		;
}

bool lobby_next(struct lobby *lobby, struct visitor *visitor)
{
	for (u32 i = 0; i < SEATS; i++) {
		struct seat *seat = &lobby->seats[i];

		if (!seat->taken || !seat->heard)
			continue;
		seat->taken = false;
		*visitor = seat->visitor;
		return true;
	}
	return false;
}
