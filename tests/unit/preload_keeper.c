/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread in QEMU that moves the balloon, and a monitor that behaves badly: late, gone in the middle of an
 * answer, talking nonsense, and back again. What the manager wants must reach the balloon in the end, and what the
 * balloon has must reach the manager.
 *
 * The monitor is a thread of the test's; each connection to it has a manner of its own. The manager is the other
 * end of a socket pair.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "preload/preload.h"

#define RAM	    (64 * MiB)
#define PATIENCE_MS 30000
#define MANNERS	    8
#define LONG_LINE   (300 * KiB)

/* How a connection goes. */
enum manner {
	GOOD,
	IN_PIECES,    /* answers come a byte at a time */
	CHATTY,	      /* events before each answer, with members that answers have */
	SILENT_END,   /* closes without a greeting */
	NO_MONITOR,   /* greets as something else does */
	BREAKS_OFF,   /* half an answer to query-balloon */
	ODD_NUMBERS,  /* answers, of which no figure is one */
	RUBBISH,      /* bytes of all kinds in place of an answer, and then half a line */
	ENDLESS_LINE, /* a line that does not end */
	REFUSES,      /* there is no balloon in this machine */
};

struct monitor {
	char folder[64], path[96];
	enum manner manners[MANNERS]; /* of the connections, in turn; the last is GOOD */
	u32 count;
	_Atomic u32 connections; /* so far */
	_Atomic u64 size;	 /* of the guest, as the balloon was set last */
	_Atomic int current;	 /* the connection; -1: none */
	int listener, manager;
	pthread_t thread;
};

/* ---- what link.c is to the thread ---- */

static struct link_view view = {.socket = -1};
static _Atomic u32 complaints;

const struct link_view *link_view(void)
{
	return &view;
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	complaints++;
}

int start_thread(void *(*run)(void *), const char *name)
{
	pthread_t thread;

	(void)name;
	cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
	pthread_detach(thread);
	return 0;
}

/* ---- the monitor ---- */

static bool put(int fd, const char *text, size_t length, bool in_pieces)
{
	size_t step = in_pieces ? 1 : length;

	for (size_t i = 0; i < length; i += step)
		if (send(fd, text + i, step, MSG_NOSIGNAL) != (ssize_t)step)
			return false;
	return true;
}

static bool put_line(int fd, enum manner manner, const char *text)
{
	static const char event[] =
		"{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": "
		"\"BLOCK_JOB_COMPLETED\", \"data\": {\"error\": \"no space\", \"return\": 7}}\r\n";

	if (manner == CHATTY && !put(fd, event, strlen(event), false))
		return false;
	return put(fd, text, strlen(text), manner == IN_PIECES);
}

static bool put_rubbish(int fd)
{
	char bytes[4096];

	for (u32 i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 131 + i / 256);
	return put(fd, bytes, sizeof(bytes), false) &&
	       put(fd, "{\"return\": {\"actual\"", 19, false) && false;
}

static bool put_endless_line(int fd)
{
	static char line[LONG_LINE];

	memset(line, '[', sizeof(line));
	put(fd, line, sizeof(line), false);
	return false;
}

/* query-balloon, by which the thread begins each look. */
static bool answer_size(struct monitor *monitor, int fd, enum manner manner)
{
	char text[128];

	switch (manner) {
	case BREAKS_OFF:
		put(fd, "{\"return\": {\"act", 16, false);
		return false;
	case RUBBISH:
		return put_rubbish(fd);
	case ENDLESS_LINE:
		return put_endless_line(fd);
	case ODD_NUMBERS:
		return put_line(fd, manner, "{\"return\": {\"actual\": nan}}\r\n");
	case REFUSES:
		return put_line(fd, manner, "{\"error\": {\"class\": \"DeviceNotActive\"}}\r\n");
	default:
		snprintf(text, sizeof(text), "{\"return\": {\"actual\": %lu}}\r\n", monitor->size);
		return put_line(fd, manner, text);
	}
}

static bool answer(struct monitor *monitor, int fd, enum manner manner, const char *command)
{
	static const char odd[] = "{\"return\": {\"stats\": {\"stat-free-memory\": -inf, "
				  "\"stat-swap-in\": 1e300, \"stat-swap-out\": \"9\", "
				  "\"stat-total-memory\": nan}, \"last-update\": 1e99}}\r\n";
	static const char figures[] = "{\"return\": {\"stats\": {\"stat-free-memory\": 4096, "
				      "\"stat-swap-in\": 18446744073709551615}, "
				      "\"last-update\": 1700000000}}\r\n";
	const char *value;

	if (strstr(command, "query-balloon"))
		return answer_size(monitor, fd, manner);
	if (strstr(command, "qom-list"))
		return put_line(
			fd, manner,
			"{\"return\": [{\"name\": \"type\", \"type\": \"string\"}, {\"name\": "
			"\"b0\", \"type\": \"child<virtio-balloon-pci>\"}]}\r\n");
	if (strstr(command, "qom-get"))
		return put_line(fd, manner, manner == ODD_NUMBERS ? odd : figures);
	value = strstr(command, "\"value\":");
	if (strstr(command, "\"balloon\"") && value)
		monitor->size = strtoull(value + 8, NULL, 10);
	return put_line(fd, manner, "{\"return\": {}}\r\n");
}

/* Until either side has had enough. */
static void converse(struct monitor *monitor, int fd, enum manner manner)
{
	FILE *in = fdopen(dup(fd), "r");
	char command[1024];
	bool on = manner != SILENT_END;

	if (manner == NO_MONITOR)
		on = put_line(fd, manner, "SSH-2.0-OpenSSH\r\n");
	else if (on)
		on = put_line(fd, manner, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	while (on && fgets(command, sizeof(command), in))
		on = answer(monitor, fd, manner, command);
	fclose(in);
}

static void *serve(void *argument)
{
	struct monitor *monitor = argument;
	int fd;

	while ((fd = accept(monitor->listener, NULL, NULL)) >= 0) {
		u32 turn = monitor->connections++;

		monitor->current = fd;
		converse(monitor, fd, turn < monitor->count ? monitor->manners[turn] : GOOD);
		monitor->current = -1;
		close(fd);
	}
	return NULL;
}

/* QEMU's socket is there from now on. */
static void appear(struct monitor *monitor)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, monitor->path);
	monitor->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(monitor->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(monitor->listener, 4), 0);
	cr_assert_eq(pthread_create(&monitor->thread, NULL, serve, monitor), 0);
}

/* ... and gone, with the connection that there is. */
static void vanish(struct monitor *monitor)
{
	int fd = monitor->current;

	shutdown(monitor->listener, SHUT_RDWR);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_join(monitor->thread, NULL);
	close(monitor->listener);
	unlink(monitor->path);
}

/* ---- the tests' side ---- */

/* A guest of 64 MiB, and the thread; no monitor yet. */
static void start(struct monitor *monitor, const enum manner *manners, u32 count)
{
	const struct piece piece = {.at = (u8 *)REGION_SIZE, .length = RAM};
	int pair[2];

	*monitor = (struct monitor){.count = count, .size = RAM, .current = -1};
	for (u32 i = 0; i < count; i++)
		monitor->manners[i] = manners[i];
	strcpy(monitor->folder, "/tmp/ballast-qmp-XXXXXX");
	cr_assert(mkdtemp(monitor->folder));
	snprintf(monitor->path, sizeof(monitor->path), "%s/qmp", monitor->folder);
	setenv("BALLAST_QMP", monitor->path, 1);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	view.socket = pair[0];
	monitor->manager = pair[1];
	pieces_add(&piece);
	cr_assert_eq(keeper_start(), 0);
}

static void order(u64 bytes)
{
	const struct attach_balloon wanted = {.target_pages = bytes / PAGE_SIZE, .stats_ms = 20};

	keeper_order(&wanted);
}

/* The next report with a balloon of that size; false when none comes. */
static bool reported(struct monitor *monitor, u64 bytes, struct attach_balloon_stats *stats)
{
	struct pollfd readable = {.fd = monitor->manager, .events = POLLIN};
	union attach_message message;
	int fds[ATTACH_MAX_FDS];
	const char *why;
	u32 nfds;

	while (poll(&readable, 1, PATIENCE_MS) > 0) {
		if (attach_receive(monitor->manager, &message, fds, &nfds, &why))
			return false;
		if (message.header.type != ATTACH_BALLOON_STATS)
			return false;
		*stats = message.balloon_stats;
		if (stats->actual_pages == bytes / PAGE_SIZE)
			return true;
	}
	return false;
}

static void expect_follows(struct monitor *monitor, u64 bytes)
{
	struct attach_balloon_stats stats = {.valid = 0};

	/* A report may be left of a monitor that vanished. */
	do {
		cr_assert(reported(monitor, bytes, &stats), "no balloon of %lu MiB", bytes / MiB);
	} while (monitor->size != RAM - bytes);
	cr_expect_eq(stats.target_pages, bytes / PAGE_SIZE);
	cr_expect_eq(stats.valid, 1U << 4, "free memory is known, and no more");
	cr_expect_eq(stats.values[4], 4096);
	cr_expect_gt(stats.age_ms, 0);
	cr_expect_neq(stats.features, 0);
}

static void end(struct monitor *monitor)
{
	vanish(monitor);
	rmdir(monitor->folder);
}

/* Connections of these manners, and then one that is well: by then the balloon has what was wanted. */
static void expect_survives(const enum manner *manners, u32 count)
{
	struct monitor monitor;

	start(&monitor, manners, count);
	appear(&monitor);
	order(16 * MiB);
	expect_follows(&monitor, 16 * MiB);
	order(8 * MiB);
	expect_follows(&monitor, 8 * MiB);
	cr_expect_geq(monitor.connections, count);
	end(&monitor);
}

#define SURVIVES(...)                                                                              \
	({                                                                                         \
		const enum manner manners[] = {__VA_ARGS__};                                       \
		expect_survives(manners, ARRAY_SIZE(manners));                                     \
	})

Test(preload_keeper, a_balloon_follows)
{
	SURVIVES(GOOD);
}

Test(preload_keeper, answers_in_pieces_are_answers)
{
	SURVIVES(IN_PIECES);
}

Test(preload_keeper, an_event_is_no_answer)
{
	SURVIVES(CHATTY);
}

Test(preload_keeper, a_monitor_that_breaks_off_is_asked_again)
{
	SURVIVES(BREAKS_OFF, SILENT_END, BREAKS_OFF, GOOD);
}

Test(preload_keeper, nonsense_is_no_monitor)
{
	SURVIVES(NO_MONITOR, RUBBISH, GOOD);
}

Test(preload_keeper, a_line_without_end_ends_the_connection)
{
	SURVIVES(ENDLESS_LINE, GOOD);
}

/* What was wanted meanwhile is done when it comes. */
Test(preload_keeper, a_late_monitor_finds_what_was_wanted_last)
{
	struct monitor monitor;

	start(&monitor, NULL, 0);
	order(16 * MiB);
	order(32 * MiB);
	for (u32 i = 0; i < PATIENCE_MS && !complaints; i++)
		usleep(1000);
	usleep(300000);
	cr_expect_eq(complaints, 1, "said once that there is none");
	appear(&monitor);
	expect_follows(&monitor, 32 * MiB);
	end(&monitor);
}

/* QEMU's successor knows nothing of what its predecessor was told. */
Test(preload_keeper, a_monitor_that_reappears_is_told_anew)
{
	struct monitor monitor;

	start(&monitor, NULL, 0);
	appear(&monitor);
	order(16 * MiB);
	expect_follows(&monitor, 16 * MiB);
	vanish(&monitor);
	monitor.size = RAM;
	appear(&monitor);
	expect_follows(&monitor, 16 * MiB);
	vanish(&monitor);
	order(24 * MiB);
	appear(&monitor);
	expect_follows(&monitor, 24 * MiB);
	end(&monitor);
}

/* What is reported first of a monitor that behaves like that, when the balloon was told something. */
static void start_and_report(struct monitor *monitor, enum manner manner,
			     struct attach_balloon_stats *stats)
{
	start(monitor, &manner, 1);
	appear(monitor);
	order(16 * MiB);
	cr_assert(reported(monitor, 0, stats));
}

/* The balloon counts as it is known to be: not at all. */
Test(preload_keeper, figures_that_are_none_are_left_out)
{
	struct attach_balloon_stats stats;
	struct monitor monitor;

	start_and_report(&monitor, ODD_NUMBERS, &stats);
	cr_expect_eq(stats.valid, 0);
	cr_expect_eq(stats.age_ms, 0);
	cr_expect_eq(stats.features, 0, "nobody has seen a driver");
	end(&monitor);
}

Test(preload_keeper, a_machine_without_a_balloon_is_left_alone)
{
	struct attach_balloon_stats stats;
	struct monitor monitor;

	start_and_report(&monitor, REFUSES, &stats);
	cr_assert(reported(&monitor, 0, &stats));
	cr_expect_eq(stats.features, 0);
	cr_expect_eq(monitor.connections, 1);
	cr_expect_eq(monitor.size, RAM);
	end(&monitor);
}
