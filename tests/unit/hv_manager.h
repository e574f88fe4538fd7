/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manager of the simplest kind, to test VMMs against: it gives a guest all the memory it touches,
 * or, to see a guest stuck, none beyond a limit.
 */
#ifndef TESTS_UNIT_HV_MANAGER_H
#define TESTS_UNIT_HV_MANAGER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "attach/attach.h"
#include "hv/boot.h"

#define TEST_CONSOLE_MAX 8192

struct test_manager {
	/* Set by the test before test_manager_start(). */
	struct attach_guest guest;
	const struct boot_image *image; /* NULL: the embedded guest */
	const char *data;		/* guest.data_bytes of it */
	u64 withhold_from;		/* offsets from here on are never resolved; 0: all are */

	pid_t pid;
	int socket;
	int ram;
	int uffd;
	u8 *alias; /* of RAM, in this process */
	struct attach_memory memory;
	pthread_t thread;
	_Atomic bool quit;
	_Atomic u64 faults;
	_Atomic bool withheld; /* a fault was */
	u64 started_at;	       /* START sent, monotonic ns */

	/* What the VMM said; see test_manager_serve(). */
	struct attach_stats stats;
	u32 stats_count;
	u32 zapped_serial;
	char console[TEST_CONSOLE_MAX];
	struct attach_exit exit;
	bool exited;
	u64 exited_at; /* EXIT received, monotonic ns */
};

/* 16 MiB, one vCPU, KVM, workload idle. */
void test_manager_init(struct test_manager *manager);

/* Forks the VMM and leads it up to START. False if it ended before, with manager->exit. */
bool test_manager_start(struct test_manager *manager);

/* Reads messages until one of `type` has come or the VMM has hung up; false in the latter case and
 * after `timeout_ms`. */
bool test_manager_serve(struct test_manager *manager, enum attach_type type, int timeout_ms);

void test_manager_stop(struct test_manager *manager, bool graceful);

/* Sends a ZAP and awaits the answer. */
bool test_manager_zap(struct test_manager *manager, u64 offset, u64 length);

/* Waits for the process and gives its wait status back; kills it after `timeout_ms` (-1 then). */
int test_manager_wait(struct test_manager *manager, int timeout_ms);

void test_manager_end(struct test_manager *manager);

bool test_have_kvm(void);

#endif
