/* SPDX-License-Identifier: Apache-2.0 */
/* The caretaker's loop. */
#include "hv/caretaker.h"
#include "lib/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CARETAKER_PERIOD_MS 200
/* Doorbells are answered no faster than that: a guest may ring all day. */
#define CARETAKER_PAUSE_MS 20

static void collect(struct caretaker *caretaker)
{
	struct attach_stats stats;

	hv_guest_collect(caretaker->guest, &stats);
	pthread_mutex_lock(&caretaker->lock);
	caretaker->stats = stats;
	pthread_mutex_unlock(&caretaker->lock);
}

/* Waits for an order or the guest's end; then, the pause over, for a doorbell as well. */
static void rest(struct caretaker *caretaker)
{
	struct pollfd events[] = {
		{.fd = caretaker->wake, .events = POLLIN},
		{.fd = caretaker->guest->over, .events = POLLIN},
		{.fd = caretaker->guest->doorbell, .events = POLLIN},
	};

	if (!poll(events, ARRAY_SIZE(events) - 1, CARETAKER_PAUSE_MS))
		poll(events, ARRAY_SIZE(events), CARETAKER_PERIOD_MS - CARETAKER_PAUSE_MS);
	hv_event_clear(caretaker->wake);
	hv_event_clear(caretaker->guest->doorbell);
}

static void *caretaker_thread(void *argument)
{
	struct caretaker *caretaker = argument;
	struct hv_guest *guest = caretaker->guest;
	bool ordered = false;

	pthread_setname_np(pthread_self(), "caretaker");
	hv_guest_boot(guest);
	hv_guest_start(guest);
	while (!hv_guest_ended(guest)) {
		if (caretaker->stop && !ordered) {
			hv_guest_order_stop(guest);
			ordered = true;
		}
		if (atomic_exchange(&caretaker->begin, false))
			hv_guest_begin(guest);
		collect(caretaker);
		rest(caretaker);
	}
	collect(caretaker);
	caretaker->finished = true;
	hv_event_raise(guest->notify);
	return NULL;
}

int caretaker_start(struct caretaker *caretaker, struct hv_guest *guest)
{
	pthread_t thread;
	int err;

	*caretaker = (struct caretaker){.guest = guest};
	snprintf(caretaker->stats.phase, sizeof(caretaker->stats.phase), "boot");
	pthread_mutex_init(&caretaker->lock, NULL);
	caretaker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (caretaker->wake < 0)
		return -errno;
	err = thread_start(&thread, caretaker_thread, caretaker);
	if (err)
		close(caretaker->wake);
	else
		pthread_detach(thread);
	return err;
}

void caretaker_order_stop(struct caretaker *caretaker)
{
	caretaker->stop = true;
	hv_event_raise(caretaker->wake);
}

void caretaker_begin(struct caretaker *caretaker)
{
	caretaker->begin = true;
	hv_event_raise(caretaker->wake);
}

void caretaker_stats(struct caretaker *caretaker, struct attach_stats *stats)
{
	pthread_mutex_lock(&caretaker->lock);
	*stats = caretaker->stats;
	pthread_mutex_unlock(&caretaker->lock);
}
