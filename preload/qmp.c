/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor protocol (docs/interop/qmp-spec in its source): lines of JSON, a command at a time; events
 * come in between and are let by.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"
#include "preload/preload.h"

#define LINE_MAX_BYTES	(256 * KiB)
#define ANSWER_PATIENCE (20 * NSEC_PER_SEC)
#define FOLDERS		2

struct qmp {
	int fd;
	size_t have;	  /* in the buffer */
	char device[256]; /* the balloon's path in QEMU's object tree; "": not found yet */
	bool polling;	  /* QEMU asks it for statistics */
	char buffer[LINE_MAX_BYTES];
	char line[LINE_MAX_BYTES + 1];
};

int qmp_fd(const struct qmp *qmp)
{
	return qmp->fd;
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return;
	close(qmp->fd);
	free(qmp);
}

/* One line, without its end, in qmp->line; NULL and errno: EAGAIN when none came in time. */
static const char *read_line(struct qmp *qmp, int timeout_ms)
{
	struct pollfd readable = {.fd = qmp->fd, .events = POLLIN};
	char *end;
	ssize_t got;

	while (!(end = memchr(qmp->buffer, '\n', qmp->have))) {
		errno = EAGAIN;
		if (poll(&readable, 1, timeout_ms) <= 0)
			return NULL;
		got = recv(qmp->fd, qmp->buffer + qmp->have, sizeof(qmp->buffer) - qmp->have, 0);
		if (got <= 0) { /* its end; or a line without one */
			errno = EPIPE;
			return NULL;
		}
		qmp->have += (size_t)got;
	}
	memcpy(qmp->line, qmp->buffer, (size_t)(end - qmp->buffer));
	qmp->line[end - qmp->buffer] = '\0';
	qmp->have -= (size_t)(end + 1 - qmp->buffer);
	memmove(qmp->buffer, end + 1, qmp->have);
	return qmp->line;
}

/*
 * What stands behind "key": in a line of JSON; NULL. It may stand at any depth: QEMU's answers that we ask for
 * have each key once. Inside a string it cannot be found, for there the quotes are escaped.
 */
static const char *value_of(const char *json, const char *key)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(json, quoted);
	if (!at)
		return NULL;
	at += strlen(quoted);
	return at + strspn(at, " ");
}

/* A number that is a size or a time; one beyond 2^63 means "unknown". False: there is none such. */
static bool number_of(const char *json, const char *key, u64 *number)
{
	const char *value = value_of(json, key);
	double real;
	char *end;

	if (!value)
		return false;
	real = strtod(value, &end);
	if (end == value || !(real >= 0 && real < 9e18))
		return false;
	*number = (u64)real;
	return true;
}

int qmp_drain(struct qmp *qmp)
{
	while (read_line(qmp, 0))
		;
	return errno == EAGAIN ? 0 : -EPIPE;
}

static int send_text(struct qmp *qmp, const char *text)
{
	size_t length = strlen(text);

	while (length) {
		ssize_t sent = send(qmp->fd, text, length, MSG_NOSIGNAL);

		if (sent < 0)
			return -EPIPE;
		text += sent;
		length -= (size_t)sent;
	}
	return 0;
}

/* Sends a command and awaits its answer, which holds until the next. -ENODEV when QEMU refuses, -EPIPE. An event
 * may have members of the same names as an answer (a job's "error"). */
static int run(struct qmp *qmp, const char *text, const char **answer)
{
	u64 until = clock_now_ns() + ANSWER_PATIENCE;

	if (send_text(qmp, text))
		return -EPIPE;
	while (clock_now_ns() < until) {
		const char *line = read_line(qmp, 1000);

		if (!line && errno != EAGAIN)
			return -EPIPE;
		if (!line || value_of(line, "event"))
			continue;
		if (value_of(line, "error"))
			return -ENODEV;
		*answer = value_of(line, "return");
		if (*answer)
			return 0;
	}
	return -EPIPE;
}

/* The monitor's descriptor, or one for its path. */
static int connect_monitor(void)
{
	static bool taken;
	const char *number = getenv("BALLAST_QMP_FD"), *path = getenv("BALLAST_QMP");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (number && !taken) {
		taken = true;
		return atoi(number);
	}
	if (!path || strlen(path) >= sizeof(address.sun_path))
		return -ENOENT;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd < 0 ? -errno : fd;
}

struct qmp *qmp_open(const char **why)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));
	const char *greeting, *answer;

	*why = "out of memory";
	if (!qmp)
		return NULL;
	qmp->fd = connect_monitor();
	*why = "its monitor cannot be reached";
	if (qmp->fd < 0) {
		free(qmp);
		return NULL;
	}
	/* Until QEMU's main loop runs there is none, and that may take. */
	greeting = read_line(qmp, -1);
	if (greeting && value_of(greeting, "QMP") &&
	    !run(qmp, "{\"execute\":\"qmp_capabilities\"}\n", &answer))
		return qmp;
	*why = "its monitor does not answer as one does";
	qmp_close(qmp);
	return NULL;
}

int qmp_set_size(struct qmp *qmp, u64 bytes)
{
	const char *answer;
	char text[128];

	snprintf(text, sizeof(text), "{\"execute\":\"balloon\",\"arguments\":{\"value\":%lu}}\n",
		 bytes);
	return run(qmp, text, &answer);
}

int qmp_get_size(struct qmp *qmp, u64 *bytes)
{
	const char *answer;
	int err = run(qmp, "{\"execute\":\"query-balloon\"}\n", &answer);

	if (!err)
		number_of(answer, "actual", bytes);
	return err;
}

int qmp_powerdown(struct qmp *qmp)
{
	const char *answer;

	return run(qmp, "{\"execute\":\"system_powerdown\"}\n", &answer);
}

/* The name of the balloon device among the children of a folder: {"name": ..., "type": ...}, in any order. */
static bool find_in(const char *children, const char *folder, char *path, size_t size)
{
	const char *type = strstr(children, "\"child<virtio-balloon"), *from = type, *name;
	char object[512];

	while (from && from > children && *from != '{')
		from--;
	if (!from)
		return false;
	snprintf(object, sizeof(object), "%.*s", (int)strcspn(from, "}"), from);
	name = value_of(object, "name");
	if (!name || *name != '"')
		return false;
	name++;
	return (size_t)snprintf(path, size, "%s/%.*s", folder, (int)strcspn(name, "\""), name) <
	       size;
}

/* 0, -ENODEV: there is none, or -EPIPE. */
static int find_device(struct qmp *qmp)
{
	static const char *const folders[FOLDERS] = {"/machine/peripheral",
						     "/machine/peripheral-anon"};
	char text[160];

	for (u32 i = 0; i < FOLDERS && !qmp->device[0]; i++) {
		const char *children;
		int err;

		snprintf(text, sizeof(text),
			 "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"%s\"}}\n",
			 folders[i]);
		err = run(qmp, text, &children);
		if (err == -EPIPE)
			return err;
		if (err || !find_in(children, folders[i], qmp->device, sizeof(qmp->device)))
			qmp->device[0] = '\0';
	}
	return qmp->device[0] ? 0 : -ENODEV;
}

static int set_polling(struct qmp *qmp, u32 seconds)
{
	const char *answer;
	char text[512];
	int err;

	if (qmp->polling)
		return 0;
	snprintf(text, sizeof(text),
		 "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"%s\",\"property\":"
		 "\"guest-stats-polling-interval\",\"value\":%u}}\n",
		 qmp->device, seconds);
	err = run(qmp, text, &answer);
	qmp->polling = !err;
	return err;
}

/* QEMU's names, by tag. */
static const char *const names[] = {
	"stat-swap-in",	     "stat-swap-out",	  "stat-major-faults",	   "stat-minor-faults",
	"stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
	"stat-htlb-pgalloc", "stat-htlb-pgfail",
};

static void take_stats(const char *answer, struct qmp_stats *stats)
{
	_Static_assert(ARRAY_SIZE(names) <= ATTACH_STATS_TAGS, "all have a place");
	*stats = (struct qmp_stats){0};
	number_of(answer, "last-update", &stats->updated_s);
	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (number_of(answer, names[i], &stats->values[i]))
			stats->valid |= 1U << i;
}

int qmp_get_stats(struct qmp *qmp, u32 seconds, struct qmp_stats *stats)
{
	const char *answer;
	char text[512];
	int err = find_device(qmp);

	if (!err)
		err = set_polling(qmp, seconds);
	if (err)
		return err;
	snprintf(text, sizeof(text),
		 "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"%s\",\"property\":"
		 "\"guest-stats\"}}\n",
		 qmp->device);
	err = run(qmp, text, &answer);
	if (!err)
		take_stats(answer, stats);
	if (err == -ENODEV) {
		qmp->device[0] = '\0'; /* unplugged? */
		qmp->polling = false;
	}
	return err;
}
