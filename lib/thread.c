/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/thread.h"

#include "lib/clock.h"

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

void condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, u64 until_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(until_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(until_ns % NSEC_PER_SEC),
	};

	return -pthread_cond_timedwait(condition, mutex, &until);
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
