/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/handler.h"

#include <errno.h>
#include <numa.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/urgent.h"
#include "lib/log.h"
#include "lib/thread.h"
#include "mem/fault.h"

/*
 * Waking a sleeping thread costs as much as the rest of a fault, so a handler that expects the next
 * fault soon stays awake for it. How long adapts, as KVM's halt polling does: it doubles when the next
 * fault came while it would have paid to be awake, and halves when it came later than that. When the
 * processor has other work, the handler notices that it was away, and sleeps for a while. It does not
 * yield: the other work is often reclaim, which would keep the processor for long.
 */
#define POLL_FIRST_NS (50 * NSEC_PER_USEC)
#define POLL_AWAY_NS  (200 * NSEC_PER_USEC) /* a look that took this long: somebody else ran */
#define POLL_REST_NS  (2 * NSEC_PER_MSEC)
/* A guest whose faults have to wait still gets some of them served in a while: its VMM may be in the middle
 * of something that would give memory back. */
#define BLOCK_NS      (100 * NSEC_PER_MSEC)
#define BLOCK_LOOK_MS 2

struct handler {
	struct space *space;
	u64 poll_limit_ns;
	u64 poll_ns;	/* how long it stays awake now */
	u64 served_ns;	/* when the last fault was done */
	u64 rest_until; /* no polling before */
	int stop;	/* eventfd */
	pthread_t thread;
};

/* Looks for a fault until poll_ns after the last. Returns what fault_serve() does, 0 when none came. */
static int poll_for_fault(struct handler *handler)
{
	const struct memory *memory = handler->space->memory;
	u64 now = clock_now_ns();

	/* While reclaim is at work, the processor is worth more to it, and to the guest it wakes. */
	while (now - handler->served_ns < handler->poll_ns && !atomic_load(&memory->reclaiming)) {
		u64 before = now;
		int served = fault_serve(handler->space);

		if (served)
			return served;
		now = clock_now_ns();
		if (now - before > POLL_AWAY_NS) {
			handler->rest_until = now + POLL_REST_NS;
			handler->poll_ns = 0;
		}
	}
	return 0;
}

/* What the last sleep teaches: it ended soon after the last fault, or not. */
static void adapt(struct handler *handler)
{
	u64 now = clock_now_ns();

	if (now - handler->served_ns > handler->poll_limit_ns)
		handler->poll_ns /= 2;
	else if (now > handler->rest_until)
		handler->poll_ns =
			MIN(MAX(handler->poll_ns * 2, POLL_FIRST_NS), handler->poll_limit_ns);
}

/* Sleeps until there is a fault; false: it is time to stop. */
static bool sleep_for_fault(struct handler *handler)
{
	struct pollfd fds[] = {
		{.fd = handler->space->options.uffd, .events = POLLIN},
		{.fd = handler->stop, .events = POLLIN},
	};

	if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
		return false;
	adapt(handler);
	return !fds[1].revents && !(fds[0].revents & POLLERR);
}

/* While the host is at its last, a guest that has more than its share waits for the others. */
static void wait_blocked(struct handler *handler)
{
	const struct space *space = handler->space;
	struct pollfd stop = {.fd = handler->stop, .events = POLLIN};
	u64 until = clock_now_ns() + BLOCK_NS;

	while (atomic_load_explicit(&space->entitlement.blocked, memory_order_relaxed) &&
	       clock_now_ns() < until && !poll(&stop, 1, BLOCK_LOOK_MS))
		;
}

/* Serves what there is, then reads ahead; a new fault comes before each piece of that. */
static int serve_all(struct handler *handler)
{
	int served;

	do {
		wait_blocked(handler);
		served = fault_serve(handler->space);
	} while (served > 0 || (!served && fault_read_ahead(handler->space)));
	return served;
}

static void *handler_run(void *argument)
{
	struct handler *handler = argument;
	struct space *space = handler->space;
	int served = 0;
	char name[16]; /* as long as the kernel keeps it */

	snprintf(name, sizeof(name), "fault %s", space->options.name);
	pthread_setname_np(pthread_self(), name);
	thread_is_urgent();
	if (space->options.bind)
		numa_run_on_node((int)space->options.node);
	while (served >= 0 && sleep_for_fault(handler)) {
		do {
			served = serve_all(handler);
			handler->served_ns = clock_now_ns();
			if (served >= 0)
				served = poll_for_fault(handler);
		} while (served > 0);
	}
	if (served < 0)
		space_fail(space, "its userfaultfd cannot be read: %s", strerror(-served));
	return NULL;
}

int handler_start(struct space *space, u32 poll_us, struct handler **out)
{
	struct handler *handler = calloc(1, sizeof(*handler));
	int result;

	if (!handler)
		return -ENOMEM;
	handler->space = space;
	handler->poll_limit_ns = poll_us * NSEC_PER_USEC;
	handler->stop = eventfd(0, EFD_CLOEXEC);
	if (handler->stop < 0) {
		result = -errno;
		goto free_handler;
	}
	result = thread_start(&handler->thread, handler_run, handler);
	if (result)
		goto close_stop;
	*out = handler;
	return 0;

close_stop:
	close(handler->stop);
free_handler:
	free(handler);
	return result;
}

void handler_stop(struct handler *handler)
{
	if (!handler)
		return;
	eventfd_write(handler->stop, 1);
	pthread_join(handler->thread, NULL);
	close(handler->stop);
	free(handler);
}
