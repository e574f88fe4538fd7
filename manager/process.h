/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a VMM: this very program, run again as `ballast vmm`, with its end of a connection. A
 * process of its own lets a guest crash, or be taken over, alone.
 */
#ifndef MANAGER_PROCESS_H
#define MANAGER_PROCESS_H

#include <sys/types.h>

#include "lib/types.h"

struct process {
	pid_t pid;  /* -1: none */
	int pidfd;  /* -1: none, or a kernel without */
	bool guest; /* somebody else's child: a VMM that came by itself */
};

/* Starts one; *socket is our end, non-blocking, so that a VMM that does not read delays nobody. Returns
 * 0 or -errno. */
int process_start(struct process *process, int *socket);

/* The process at the other end of a connection of AF_UNIX, and its user. Returns 0 or -errno. */
int process_of_peer(struct process *process, int socket, u32 *uid);

/* Kills it, if there is one; process_reap() must follow. */
void process_kill(const struct process *process);

/* Waits until it has ended, killing it after patience_ms. Returns what waitpid() says; 0 if there is
 * none. One that is not our child is neither waited for nor killed, and -1 is returned. */
int process_reap(struct process *process, u32 patience_ms);

/* How it ended, in words: "was killed by signal 9 (Killed)". */
void process_describe(int status, char *text, u32 size);

#endif
