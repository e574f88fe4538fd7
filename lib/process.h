/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that must not outlive the one that made them. */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* For a new process: from here on it dies with the thread that forked it. `parent`: getpid() before the fork, for who is
 * dead by now sends no signal any more. */
static inline void process_dies_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

#endif
