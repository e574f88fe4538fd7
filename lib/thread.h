/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIB_THREAD_H
#define LIB_THREAD_H

#include <pthread.h>
#include <signal.h>

/*
 * Starts a thread that takes no signals, so that those meant for the process reach whoever waits for them: the
 * kernel gives a signal to any thread that lets it in, one half started too. A thread that is to be kicked by
 * a signal unblocks it. Returns 0 or -errno.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* Between the two, the calling thread lets no signal in: for threads that a library starts. */
void signals_block(sigset_t *before);
void signals_restore(const sigset_t *before);

#endif
