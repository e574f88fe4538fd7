/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/config.h"
#include "ctl/rundir.h"
#include "ctl/wire.h"
#include "lib/thread.h"

#define THREADS	   4U
#define PATIENCE_S 2 /* for a client */

struct server {
	struct control *control;
	char path[RUNDIR_PATH_MAX];
	int listener;
	int stop; /* eventfd */
	u32 thread_count;
	pthread_t threads[THREADS];
};

/* What is said back. */
struct answer {
	FILE *text;
	char error[1024]; /* goes in place of the text when there is a status */
};

static int serve_get(struct control *control, const char *const *words, struct answer *answer)
{
	char *text;
	ssize_t length = control_read(control, words[1], &text);

	if (length < 0) {
		snprintf(answer->error, sizeof(answer->error), "%s: %s", words[1],
			 length == -EISDIR ? "this is a folder: ballast ls"
					   : "there is no such attribute: ballast ls shows them");
		return (int)length;
	}
	fwrite(text, 1, (size_t)length, answer->text);
	free(text);
	return 0;
}

static int serve_set(struct control *control, const char *const *words, struct answer *answer)
{
	return control_write(control, words[1], words[2], strlen(words[2]), answer->error,
			     sizeof(answer->error));
}

static int serve_ls(struct control *control, const char *const *words, struct answer *answer)
{
	struct control_names names;
	int ret = control_list(control, words[1], &names);

	if (ret) {
		snprintf(answer->error, sizeof(answer->error), "%s: %s", words[1],
			 ret == -ENOTDIR ? "this is no folder: ballast get" : strerror(-ret));
		return ret;
	}
	for (u32 i = 0; i < names.count; i++)
		fprintf(answer->text, "%s\n", names.names[i]);
	free(names.names);
	return 0;
}

static int serve_tree(struct control *control, const char *const *words, struct answer *answer)
{
	int ret = control_dump(control, words[1], answer->text);

	if (ret)
		snprintf(answer->error, sizeof(answer->error), "%s: %s", words[1], strerror(-ret));
	return ret;
}

/* Guests of a file, one after the other; the file as a whole was found good before. */
static int serve_start(struct control *control, const char *const *words, struct answer *answer)
{
	static pthread_mutex_t parser_lock = PTHREAD_MUTEX_INITIALIZER;
	FILE *stream = fmemopen((char *)words[2], MAX(strlen(words[2]), 1UL), "r");
	struct host_config config;
	int ret;

	if (!stream)
		return -ENOMEM;
	/* The parser has settings that are variables of its library. */
	pthread_mutex_lock(&parser_lock);
	ret = config_read_guests(stream, words[1], &config, answer->error, sizeof(answer->error));
	pthread_mutex_unlock(&parser_lock);
	fclose(stream);
	if (ret)
		return ret;
	for (u32 i = 0; i < config.guest_count; i++) {
		ret = manager_start_guest(control_manager(control), &config.guests[i],
					  answer->error, sizeof(answer->error));
		if (ret < 0)
			break;
		fprintf(answer->text, "%s\n", config.guests[i].name);
		ret = 0;
	}
	config_free(&config);
	return ret;
}

static int serve_stop(struct control *control, const char *const *words, struct answer *answer)
{
	struct manager *manager = control_manager(control);
	int index = manager_find_guest(manager, words[1]);
	bool graceful = strcmp(words[2], "now") != 0;

	if (index < 0) {
		snprintf(answer->error, sizeof(answer->error), "there is no guest %s", words[1]);
		return index;
	}
	if (manager_stop_guest(manager, (u32)index, graceful, "stopped by the user")) {
		snprintf(answer->error, sizeof(answer->error), "guest %s has ended already",
			 words[1]);
		return -ESRCH;
	}
	return 0;
}

static const struct {
	const char *verb;
	int words; /* the verb included */
	int (*serve)(struct control *control, const char *const *words, struct answer *answer);
} verbs[] = {
	{"get", 2, serve_get},	 {"set", 3, serve_set},	    {"ls", 2, serve_ls},
	{"tree", 2, serve_tree}, {"start", 3, serve_start}, {"stop", 3, serve_stop},
};

static int dispatch(struct control *control, char *request, size_t length, struct answer *answer)
{
	const char *words[WIRE_WORDS];
	int count = wire_split(request, length, words);

	for (u32 i = 0; count > 0 && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(words[0], verbs[i].verb) == 0 && count == verbs[i].words)
			return verbs[i].serve(control, words, answer);
	snprintf(answer->error, sizeof(answer->error), "this is no request that is understood");
	return -EPROTO;
}

static void serve_request(struct server *server, int socket, char *request, size_t length)
{
	struct answer answer = {0};
	char *text = NULL;
	size_t size = 0;
	int ret;

	answer.text = open_memstream(&text, &size);
	if (!answer.text)
		return;
	ret = dispatch(server->control, request, length, &answer);
	if (fclose(answer.text))
		ret = -ENOMEM;
	if (ret)
		wire_answer(socket, (u32)-ret, answer.error, strlen(answer.error));
	else
		wire_answer(socket, 0, text, size);
	free(text);
}

static void serve_connection(struct server *server, int socket)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char *request = malloc(WIRE_REQUEST_MAX + 1);
	ssize_t length;

	setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	/* One byte more than is allowed: so a request that was cut off is seen. */
	length = request ? recv(socket, request, WIRE_REQUEST_MAX + 1, 0) : -1;
	if (length > 0 && (size_t)length <= WIRE_REQUEST_MAX)
		serve_request(server, socket, request, (size_t)length);
	free(request);
	close(socket);
}

static void *server_run(void *argument)
{
	struct server *server = argument;
	struct pollfd fds[] = {
		{.fd = server->listener, .events = POLLIN},
		{.fd = server->stop, .events = POLLIN},
	};

	for (;;) {
		int socket;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (socket >= 0)
			serve_connection(server, socket);
	}
	return NULL;
}

/* Is there nobody at the socket that stands there? Then it goes. */
static int clear_path(const char *path)
{
	int fd = rundir_connect(path);

	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	return fd == -ECONNREFUSED && unlink(path) ? -errno : 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	ret = clear_path(path);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The file gets the socket's mode: nobody else may connect, not even for a moment. */
	ret = fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno
											 : 0;
	if (!ret && listen(fd, 16)) {
		ret = -errno;
		unlink(path);
	}
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static int start_threads(struct server *server)
{
	int ret = 0;

	for (; server->thread_count < THREADS && !ret; server->thread_count += !ret)
		ret = thread_start(&server->threads[server->thread_count], server_run, server);
	return server->thread_count ? 0 : ret;
}

int server_start(struct control *control, const char *path, struct server **out)
{
	struct server *server = calloc(1, sizeof(*server));
	int ret = -ENOMEM;

	if (!server)
		return ret;
	server->control = control;
	snprintf(server->path, sizeof(server->path), "%s", path);
	server->stop = eventfd(0, EFD_CLOEXEC);
	if (server->stop < 0) {
		ret = -errno;
		goto free_server;
	}
	server->listener = listen_at(path);
	if (server->listener < 0) {
		ret = server->listener;
		goto close_stop;
	}
	ret = start_threads(server);
	if (ret)
		goto close_listener;
	*out = server;
	return 0;

close_listener:
	unlink(path);
	close(server->listener);
close_stop:
	close(server->stop);
free_server:
	free(server);
	return ret;
}

void server_stop(struct server *server)
{
	if (!server)
		return;
	eventfd_write(server->stop, 1);
	for (u32 i = 0; i < server->thread_count; i++)
		pthread_join(server->threads[i], NULL);
	unlink(server->path);
	close(server->listener);
	close(server->stop);
	free(server);
}
