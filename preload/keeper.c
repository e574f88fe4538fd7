/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves QEMU's balloon as the manager wants, and tells it how the guest is. What it says goes by the same
 * messages as that of Ballast's own VMM, so the manager needs to know nothing of QEMU.
 *
 * QEMU's monitor may be late, and may go and come: what is wanted is kept until it can be done.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "balloon/abi.h"
#include "lib/clock.h"
#include "preload/preload.h"

#define RETRY_MS 1000

static struct {
	pthread_mutex_t lock;
	struct attach_balloon order;
	bool ordered, powerdown;
	int wake; /* eventfd; -1: no thread */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = -1};

/* What the thread did last. */
struct keeper {
	struct qmp *qmp;
	u64 told_pages;
	bool told, driver;
};

static void wake(void)
{
	if (state.wake >= 0)
		eventfd_write(state.wake, 1);
}

void keeper_order(const struct attach_balloon *order)
{
	pthread_mutex_lock(&state.lock);
	state.order = *order;
	state.ordered = true;
	pthread_mutex_unlock(&state.lock);
	wake();
}

void keeper_powerdown(void)
{
	if (state.wake < 0) {
		kill(getpid(),
		     SIGTERM); /* without a monitor QEMU ends, and the guest is not asked */
		return;
	}
	pthread_mutex_lock(&state.lock);
	state.powerdown = true;
	pthread_mutex_unlock(&state.lock);
	wake();
}

static void rest(int fd, u32 ms)
{
	struct pollfd events[] = {{.fd = state.wake, .events = POLLIN},
				  {.fd = fd, .events = POLLIN}};
	eventfd_t count;

	poll(events, fd < 0 ? 1 : 2, (int)ms);
	if (events[0].revents)
		eventfd_read(state.wake, &count);
}

/* Sets the guest's size when another is wanted. */
static int obey(struct keeper *keeper, const struct attach_balloon *order)
{
	u64 ram = pieces_bytes(), away = MIN(order->target_pages * PAGE_SIZE, ram);
	int err;

	if (keeper->told && keeper->told_pages == order->target_pages)
		return 0;
	/* QEMU takes no size of 0. */
	err = qmp_set_size(keeper->qmp, MAX(ram - away, REGION_SIZE));
	if (err)
		return err;
	keeper->told = true;
	keeper->told_pages = order->target_pages;
	return 0;
}

static int report(const struct keeper *keeper, u64 actual_bytes, const struct qmp_stats *stats)
{
	u64 ram = pieces_bytes(), now = (u64)time(NULL);
	union attach_message message = {
		.balloon_stats = {
			.target_pages = keeper->told_pages,
			.actual_pages = actual_bytes < ram ? (ram - actual_bytes) / PAGE_SIZE : 0,
			.features = keeper->driver ? 1UL << BALLOON_F_STATS_VQ : 0,
			.valid = stats->valid,
		}};

	for (u32 i = 0; i < ATTACH_STATS_TAGS; i++)
		message.balloon_stats.values[i] = stats->values[i];
	if (stats->updated_s && now > stats->updated_s)
		message.balloon_stats.age_ms =
			(u32)MIN((now - stats->updated_s) * 1000, (u64)UINT32_MAX);
	return attach_send(link_view()->socket, &message, ATTACH_BALLOON_STATS,
			   sizeof(message.balloon_stats), 0, NULL, 0);
}

/* One look at the balloon. -EPIPE when the monitor is gone; a guest without a balloon is none of our business. */
static int look(struct keeper *keeper, const struct attach_balloon *order)
{
	struct qmp_stats stats = {0};
	u64 actual = pieces_bytes();
	int err = qmp_get_size(keeper->qmp, &actual);

	if (!err)
		err = qmp_get_stats(keeper->qmp, MAX(order->stats_ms / 1000, 1U), &stats);
	if (err == -EPIPE)
		return err;
	if (!stats.updated_s)
		stats.valid = 0;
	/* It has spoken, so it is there. */
	keeper->driver = !err && (stats.updated_s || actual < pieces_bytes());
	if (!err)
		err = obey(keeper, order);
	if (err == -EPIPE)
		return err;
	report(keeper, actual, &stats);
	return 0;
}

static int step(struct keeper *keeper)
{
	struct attach_balloon order;
	bool ordered, powerdown;
	int err = qmp_drain(keeper->qmp);

	pthread_mutex_lock(&state.lock);
	order = state.order;
	ordered = state.ordered;
	powerdown = state.powerdown;
	state.powerdown = false;
	pthread_mutex_unlock(&state.lock);
	if (!err && powerdown && qmp_powerdown(keeper->qmp) == -ENODEV)
		kill(getpid(), SIGTERM);
	if (!err && ordered)
		err = look(keeper, &order);
	if (!err)
		rest(qmp_fd(keeper->qmp), order.stats_ms ? order.stats_ms : RETRY_MS);
	return err;
}

static void *keep(void *unused)
{
	struct keeper keeper = {0};
	const char *why, *said = NULL;

	(void)unused;
	for (;;) {
		if (!keeper.qmp)
			keeper.qmp = qmp_open(&why);
		/* Without a path it was the monitor that `ballast wrap` made, and QEMU is about to end. */
		if (!keeper.qmp && !getenv("BALLAST_QMP"))
			return NULL;
		if (!keeper.qmp && said != why)
			say("no balloon, because %s", said = why);
		if (keeper.qmp && !step(&keeper))
			continue;
		/* A monitor that breaks off each time is not asked without a pause. */
		qmp_close(keeper.qmp);
		keeper = (struct keeper){0};
		rest(-1, RETRY_MS);
	}
	return NULL;
}

int keeper_start(void)
{
	if (!getenv("BALLAST_QMP_FD") && !getenv("BALLAST_QMP"))
		return 0;
	state.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (state.wake < 0)
		return -errno;
	return start_thread(keep, "ballast-balloon");
}
