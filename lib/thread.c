/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/thread.h"

#include "lib/types.h"

/* All but those that a thread raises itself: blocked, they would end the process past their handlers. */
void signals_block(sigset_t *before)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};
	sigset_t others;

	sigfillset(&others);
	for (u32 i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&others, own[i]);
	pthread_sigmask(SIG_SETMASK, &others, before);
}

void signals_restore(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
	sigset_t before;
	int err;

	signals_block(&before);
	err = pthread_create(thread, NULL, run, argument);
	signals_restore(&before);
	return -err;
}
