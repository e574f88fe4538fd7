/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where VMMs that bring their guests connect, and wait until they have said HELLO. Who they are the kernel
 * says (SO_PEERCRED). None of them is trusted: there are few places, each for a few seconds, and one user gets
 * no more than a part of them.
 *
 * All functions are for the thread that serves the guests.
 */
#ifndef MANAGER_LOBBY_H
#define MANAGER_LOBBY_H

#include <poll.h>

#include "attach/attach.h"
#include "manager/process.h"

struct lobby;

#define LOBBY_POLLS 33U /* descriptors that it listens to, at most */

/* Somebody who has said HELLO. */
struct visitor {
	struct process process;
	u32 uid;
	int socket; /* non-blocking */
	struct attach_hello hello;
};

/* Listens at `path`, which is taken from a manager that is dead. group: its name, or "". Returns 0 or -errno
 * with the reason logged: -EADDRINUSE when another manager listens there. */
int lobby_open(const char *path, u32 mode, const char *group, struct lobby **lobby);

/* Turns everybody away, and takes the socket's file away. NULL is fine. */
void lobby_close(struct lobby *lobby);

/* Fills in what to poll for; returns how many. */
u32 lobby_polls(const struct lobby *lobby, struct pollfd polls[LOBBY_POLLS]);

/* Lets in who has come, after lobby_polls() and poll(2), and turns away who is too slow. */
void lobby_serve(struct lobby *lobby, const struct pollfd *polls, u32 count, u64 now_ns);

/* The next who has said HELLO: true, and all of it is the caller's. */
bool lobby_next(struct lobby *lobby, struct visitor *visitor);

/* Tells a peer why it is not wanted, and closes its socket and its process' descriptor. */
void __attribute__((format(printf, 2, 3)))
lobby_turn_away(const struct visitor *visitor, const char *format, ...);

#endif
