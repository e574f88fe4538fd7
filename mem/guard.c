/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static _Thread_local struct guard *current;

static struct guard *guard_at(const u8 *address)
{
	struct guard *guard = current;

	while (guard && (address < guard->from || address >= guard->from + guard->bytes))
		guard = guard->outer;
	return guard;
}

/* Runs on the thread whose access failed. mmap() is a bare system call: safe here. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	struct guard *guard = guard_at(info->si_addr);

	(void)context;
	if (!guard || mmap(guard->from, guard->bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
		/* The access is tried again, and ends us as if we had not been here. */
		signal(number, SIG_DFL);
		return;
	}
	guard->hit = true;
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	sigaction(SIGBUS, &action, NULL);
}

void guard_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

void guard_begin(struct guard *guard, u8 *from, u64 bytes)
{
	*guard = (struct guard){.from = from, .bytes = bytes, .outer = current};
	current = guard;
	/* The handler runs in this thread: only the compiler must not reorder. */
	atomic_signal_fence(memory_order_seq_cst);
}

bool guard_end(struct guard *guard)
{
	atomic_signal_fence(memory_order_seq_cst);
	current = guard->outer;
	return guard->hit;
}
