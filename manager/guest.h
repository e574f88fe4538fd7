/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest as the manager sees it: a VMM process at the other end of a socket, a memory space, a
 * fault handler. Its life is a walk through the attach protocol; whatever breaks it (a message out of
 * turn, a lost page, the death of the VMM) ends this guest and no other.
 *
 *	guest_start -> HELLO, GUEST, MEMORY, START -> running -> EXIT or hang-up -> guest_end
 *
 * All functions want the manager's lock; only the space's callbacks come without it, from any thread.
 */
#ifndef MANAGER_GUEST_H
#define MANAGER_GUEST_H

#include "manager/balloon.h"
#include "manager/config.h"
#include "manager/manager.h"
#include "mem/memory.h"

struct guest;
struct data_cache;
struct policy;

/* What all guests of a host have in common. */
struct guest_host {
	const struct host_config *config;
	struct memory *memory;
	struct data_cache *data;
	struct policy *policy;
};

/* Starts the VMM process. A guest that cannot start is returned all the same, ended, with its reason.
 * NULL when there is no memory. */
struct guest *guest_start(const struct guest_host *host, const struct guest_config *config);

/* The socket to watch for input, or -1 when the guest has ended. */
int guest_socket(const struct guest *guest);

/* Handles what the socket has: one message, or the end of the connection. */
void guest_receive(struct guest *guest);

const char *guest_name(const struct guest *guest);
u64 guest_memory_bytes(const struct guest *guest);
bool guest_running(const struct guest *guest);

/* Asks it to end, gracefully or at once. */
void guest_stop(struct guest *guest, bool graceful, const char *reason);

/* To be called often: kills the VMM of a guest that was told to end at once and has not, after a while;
 * keeps its balloon going. */
void guest_tick(struct guest *guest);

/* Wants the guest to give up that many bytes by its balloon. Returns 0; -ENODEV when it has none or does not
 * run, or -errno. */
int guest_set_balloon(struct guest *guest, u64 target_bytes);

/* How its balloon is; false when it has none or does not run. */
bool guest_get_balloon(const struct guest *guest, struct balloon_snapshot *snapshot);

/* Asks the guest for its free pages, as far as it has a balloon and runs. */
void guest_ask_free(struct guest *guest);

void guest_snapshot(const struct guest *guest, struct guest_snapshot *snapshot);

/* Copies averages and totals into a snapshot. */
void pressure_show(const struct pressure_average *average, struct pressure_snapshot *to);

/* Brings its pressure averages up to now. */
void guest_sample(struct guest *guest, u64 now_ns);

/* Its memory, with a reference that space_put() gives back; NULL when it has none. */
struct space *guest_get_space(struct guest *guest);

/* Kills it if it still runs, and frees it. */
void guest_destroy(struct guest *guest);

#endif
