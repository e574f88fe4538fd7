/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define VMM_SOCKET 3 /* the descriptor the VMM finds its end at */

extern char **environ;

/* Runs `ballast vmm --socket 3`. */
static int spawn(struct process *process, int socket)
{
	char *const argv[] = {"ballast", "vmm", "--socket", "3", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int result;

	posix_spawn_file_actions_init(&actions);
	/* Should the socket be 3 already, this clears its close-on-exec flag all the same. */
	posix_spawn_file_actions_adddup2(&actions, socket, VMM_SOCKET);
	/* Threads of ours block signals (lib/thread.h); a process does not. */
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	result = posix_spawn(&process->pid, "/proc/self/exe", &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (result) {
		process->pid = -1;
		return -result;
	}
	process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	return 0;
}

int process_start(struct process *process, int *socket)
{
	int pair[2], result;

	*process = (struct process){.pid = -1, .pidfd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	result = fcntl(pair[0], F_SETFL, O_NONBLOCK) ? -errno : spawn(process, pair[1]);
	close(pair[1]);
	if (result)
		close(pair[0]);
	else
		*socket = pair[0];
	return result;
}

void process_kill(const struct process *process)
{
	/* A number may belong to another process by now, unless it is a child of ours. */
	if (process->guest)
		syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
	else if (process->pid > 0)
		kill(process->pid, SIGKILL);
}

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

int process_of_peer(struct process *process, int socket, u32 *uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int pidfd;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	size = sizeof(pidfd);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size))
		pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	if (pidfd < 0)
		return -errno;
	*process = (struct process){.pid = peer.pid, .pidfd = pidfd, .guest = true};
	*uid = peer.uid;
	return 0;
}

int process_reap(struct process *process, u32 patience_ms)
{
	struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
	int status = 0;

	if (process->guest) {
		close(process->pidfd);
		*process = (struct process){.pid = -1, .pidfd = -1};
		return -1;
	}
	if (process->pid <= 0)
		return 0;
	if (process->pidfd < 0 || poll(&ended, 1, (int)patience_ms) <= 0)
		process_kill(process);
	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (process->pidfd >= 0)
		close(process->pidfd);
	process->pid = process->pidfd = -1;
	return status;
}

void process_describe(int status, char *text, u32 size)
{
	if (status == -1)
		snprintf(text, size, "closed the connection, or was killed, without a word");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "ended with status %d without a word", WEXITSTATUS(status));
}
