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
#include "manager/process.h"
#include "mem/memory.h"

struct guest;
struct data_cache;
struct salts;
struct policy;
struct ksm;

/* What all guests of a host have in common. */
struct guest_host {
	const struct host_config *config;
	struct memory *memory;
	struct ksm *ksm;
	struct data_cache *data;
	struct policy *policy;
	struct salts *salts;
};

/* Starts the VMM process. A guest that cannot start is returned all the same, ended, with its reason.
 * NULL when there is no memory. */
struct guest *guest_start(const struct guest_host *host, const struct guest_config *config);

/* A VMM that has connected by itself, and said HELLO. */
struct guest_visit {
	const struct attach_hello *hello;
	struct process process;
	int socket; /* non-blocking */
};

/* Takes it on, in the way of guest_start(); process and socket are the guest's from then on, and the VMM is told
 * when it is refused. `place`: the number in the policy of a guest that has ended, whose it takes; or NULL. */
struct guest *guest_accept(const struct guest_host *host, const struct guest_config *config,
			   const u32 *place, const struct guest_visit *visit);

/* Its VMM came by itself. */
bool guest_came(const struct guest *guest);

/* The socket to watch for input, or -1 when the guest has ended. */
int guest_socket(const struct guest *guest);

/* Handles what the socket has: one message, or the end of the connection. */
void guest_receive(struct guest *guest);

const char *guest_name(const struct guest *guest);
u64 guest_memory_bytes(const struct guest *guest);
bool guest_running(const struct guest *guest);

/* It has filled its memory, or has ended. */
bool guest_filled(const struct guest *guest);

/* Lets it begin, if it waits for all guests to be filled. */
void guest_begin(struct guest *guest);

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

/* The sharing domain it would be in with that salt; NULL: its own. */
u32 guest_domain(const struct guest *guest, enum host_salting salting, const char *salt);
void guest_set_salt(struct guest *guest, const char *salt);

/* The NUMA node it was placed on; -1: none. */
s32 guest_node(const struct guest *guest);

/* Pages in its RAM file; 0 when it has none (any more). */
u64 guest_resident_bytes(const struct guest *guest);

/* Copies averages and totals into a snapshot. */
void pressure_show(const struct pressure_average *average, struct pressure_snapshot *to);

/* Brings its pressure averages and its rates up to now. To be called every second or two. */
void guest_sample(struct guest *guest, u64 now_ns);

/* Its memory, with a reference that space_put() gives back; NULL when it has none. */
struct space *guest_get_space(struct guest *guest);

/* Kills it if it still runs, and frees it. */
void guest_destroy(struct guest *guest);

#endif
