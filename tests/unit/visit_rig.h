/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manager that listens, and peers that visit it: processes of their own, forked before the manager has
 * threads, each of which waits for its turn. What a peer finds wrong it reports by its exit status.
 */
#ifndef TESTS_VISIT_RIG_H
#define TESTS_VISIT_RIG_H

#include "attach/attach.h"
#include "manager/manager.h"

#define VISIT_PEERS 8

struct visit;

/* A peer at its turn. Returns 0 when all was as it should be; what it says otherwise is seen by a line that
 * EXPECT writes. */
typedef int visit_peer(const char *path);

struct visit {
	struct host_config config; /* set before visit_start(); all else by it */
	struct guest_config sections[2];
	char folder[64];
	struct manager *manager;
	pthread_t server;
	_Atomic bool stop;
	u32 peers;
	int gates[VISIT_PEERS];
	pid_t pids[VISIT_PEERS];
};

/* A budget of 40 MiB, a pool, no disk; any guest of up to 96 MiB may come. */
void visit_init(struct visit *visit);

/* Before visit_start(): another peer. Returns its number. */
u32 visit_add(struct visit *visit, visit_peer *peer);
void visit_start(struct visit *visit);

/* Lets a peer begin; waits till it has ended, and returns its exit status, -1 when it was killed. */
void visit_let(struct visit *visit, u32 peer);
int visit_await(struct visit *visit, u32 peer);

/* Both. */
int visit_turn(struct visit *visit, u32 peer);

/* How the guest of that name is, once `life` is what it says or 20 seconds have passed. False: there is none. */
bool visit_guest(struct visit *visit, const char *name, enum guest_life life,
		 struct guest_snapshot *snapshot);

void visit_stop(struct visit *visit);

/* ---- for peers ---- */

/* In a peer: says what is wrong and ends the process. */
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			peer_fail(__FILE__, __LINE__, #condition);                                 \
	} while (0)
void peer_fail(const char *file, int line, const char *what) __attribute__((noreturn));

/* A guest of a peer's. */
struct peer_guest {
	int socket, ram, uffd;
	bool removes; /* it drops memory by itself, and its userfaultfd says so (EVENT_REMOVE) */
	u8 *at;
	u64 bytes;     /* mapped */
	u64 ram_bytes; /* of the file */
	u8 *stage;     /* where it says that it stages regions, or NULL */
	u32 serial;
};

int peer_connect(const char *path);
void peer_hello(int socket, const char *name, u64 bytes);

/* Has a thread answer ZAP from now on; peer_begin() does it too. */
void peer_listen(struct peer_guest *guest);
/* Has it read no answer from now on; nothing else of this process may wait for one either. */
void peer_deafen(void);

/* Awaits a message of a type, letting others by; false when the connection ends first. */
bool peer_await(int socket, enum attach_type type, union attach_message *message, int fds[2]);

/* Awaits STOP with a reason that has `words` in it. */
void peer_expect_stop(int socket, const char *words);

/* HELLO and GUEST; then the file mapped and registered; then MEMORY; then START. */
void peer_introduce(struct peer_guest *guest, const char *path, const char *name, u64 ram_bytes);
void peer_map(struct peer_guest *guest, u64 bytes);
void peer_send_memory(struct peer_guest *guest, int fd);
void peer_begin(struct peer_guest *guest, const char *path, const char *name, u64 bytes);

/* As peer_begin(), of a guest that drops memory by itself. */
void peer_begin_removing(struct peer_guest *guest, const char *path, const char *name, u64 bytes);

/* A page's content, by its number and version. */
void peer_write(struct peer_guest *guest, u64 page, u32 version);
bool peer_check(const struct peer_guest *guest, u64 page, u32 version);

/* DROP FREE and its answer (one thread at a time); PLUG and what the answer says. */
void peer_discard(struct peer_guest *guest, u64 page, u64 count);
u32 peer_plug(struct peer_guest *guest, enum attach_plug_what what, u64 hva, u64 offset,
	      u64 length);

void peer_exit(struct peer_guest *guest);

#endif
