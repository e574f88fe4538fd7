/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIB_THREAD_H
#define LIB_THREAD_H

#include <pthread.h>
#include <signal.h>

#include "lib/types.h"

/*
 * Starts a thread that takes no signals, so that those meant for the process reach whoever waits for them: the
 * kernel gives a signal to any thread that lets it in, one half started too. A thread that is to be kicked by
 * a signal unblocks it. Returns 0 or -errno.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* A condition variable that is waited for by the clock of clock_now_ns(). */
void condition_init(pthread_cond_t *condition);

/* pthread_cond_timedwait() until then. Returns 0 or -ETIMEDOUT. */
int condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, u64 until_ns);

/* Between the two, the calling thread lets no signal in: for threads that a library starts. */
void signals_block(sigset_t *before);
void signals_restore(const sigset_t *before);

#endif
