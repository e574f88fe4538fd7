/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that must not outlive the one that made them. */
#include <criterion/criterion.h>
#include <sys/wait.h>

#include "lib/process.h"

/* A process that makes another and dies; the other waits for that, first or not. */
static void be_parent(bool dies_first)
{
	pid_t self = getpid();

	if (!fork()) {
		while (dies_first && getppid() == self)
			usleep(1000);
		process_dies_with(self);
		while (true)
			pause();
	}
	/* Time for the other to come so far: if it does not, this is the other case. */
	usleep(dies_first ? 0 : 50000);
	_exit(0);
}

static void expect_both_end(bool dies_first)
{
	unsigned ended = 0;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!fork())
		be_parent(dies_first);
	alarm(20);
	while (waitpid(-1, NULL, 0) > 0)
		ended++;
	cr_expect_eq(ended, 2);
}

Test(lib_process, a_child_dies_with_its_parent)
{
	expect_both_end(false);
}

Test(lib_process, a_child_whose_parent_was_faster_ends)
{
	expect_both_end(true);
}
