/* SPDX-License-Identifier: Apache-2.0 */
/* The host's socket, and who comes to it: clients that ask, that say rubbish or nothing, that do not read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/rundir.h"
#include "ctl/server.h"
#include "ctl/wire.h"

static struct host_config config;
static struct manager *manager;
static struct control *control;
static struct server *server;
static char path[64];

static void start(void)
{
	host_config_defaults(&config);
	config.memory_bytes = 256 * MiB;
	config.cgroup = false;
	snprintf(path, sizeof(path), "/tmp/ballast-test-%d.sock", getpid());
	cr_assert_eq(manager_create(&config, &manager), 0);
	cr_assert_eq(control_create(manager, "tested", &control), 0);
	cr_assert_eq(server_start(control, path, &server), 0);
}

static void stop(void)
{
	server_stop(server);
	control_destroy(control);
	manager_destroy(manager);
	cr_expect_neq(access(path, F_OK), 0);
}

TestSuite(ctl_server, .init = start, .fini = stop);

static int ask(const char *verb, const char *first, const char *second, char **text)
{
	const char *words[] = {verb, first, second};

	return client_ask(path, words, second ? 3 : first ? 2 : 1, text);
}

Test(ctl_server, only_its_user_may_connect)
{
	struct stat info;

	cr_assert_eq(stat(path, &info), 0);
	cr_expect_eq(info.st_mode & 0777, 0600);
}

Test(ctl_server, values_are_read_and_written)
{
	char *text;

	cr_assert_eq(ask("get", "/memory", NULL, &text), 0);
	cr_expect_str_eq(text, "268435456\n");
	free(text);
	cr_expect_eq(ask("set", "/memory", "1G", &text), 0);
	free(text);
	cr_expect_eq(ask("get", "memory", NULL, &text), 0);
	cr_expect_str_eq(text, "1073741824\n");
	free(text);
	cr_expect_eq(ask("set", "/memory", "lots", &text), EINVAL);
	cr_expect(strstr(text, "`lots' should be a size"), "%s", text);
	free(text);
	cr_expect_eq(ask("ls", "/swap", NULL, &text), 0);
	cr_expect(strstr(text, "acceleration\n"));
	free(text);
	cr_expect_eq(ask("stop", "nobody", "now", &text), ENOENT);
	free(text);
}

Test(ctl_server, a_file_of_guests_is_understood_whole_or_refused)
{
	static const char *const files[] = {
		"", "[host]\nmemory = 1G\n", "[guest a]\nmemory = 32M\n[guest a]\nmemory = 32M\n",
		"[guest a]\nmemory = 32M\n[guest b]\nmemory = 7\n", "[guest a]\n"};
	char *text;

	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		cr_expect_eq(ask("start", "more.ini", files[i], &text), EINVAL, "%s", files[i]);
		cr_expect(strstr(text, "more.ini"), "%s", text);
		free(text);
	}
	cr_assert_eq(ask("get", "guests", NULL, &text), 0);
	cr_expect_str_eq(text, "0\n");
	free(text);
}

Test(ctl_server, requests_that_are_none_are_refused)
{
	char *text;

	cr_expect_eq(ask("fly", "/memory", NULL, &text), EPROTO);
	free(text);
	cr_expect_eq(ask("get", NULL, NULL, &text), EPROTO);
	free(text);
	cr_expect_eq(ask("get", "a", "b", &text), EPROTO);
	free(text);
}

/* Sends raw bytes, or none, and takes what comes. Returns how many bytes came. */
static ssize_t send_raw(const char *bytes, size_t length)
{
	int fd = rundir_connect(path);
	char answer[4096];
	ssize_t got;

	cr_assert_geq(fd, 0);
	if (length)
		cr_expect_eq(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
	got = recv(fd, answer, sizeof(answer), 0);
	close(fd);
	return got;
}

Test(ctl_server, bytes_without_end_or_beyond_the_limit_do_no_harm)
{
	char *much = calloc(1, WIRE_REQUEST_MAX + 100);
	char *text;

	cr_expect_gt(send_raw("get\0/memory", 11), 0);
	cr_expect_gt(send_raw("\0\0\0\0\0\0", 6), 0);
	cr_expect_eq(send_raw(much, WIRE_REQUEST_MAX + 100), 0);
	free(much);
	cr_expect_eq(ask("get", "/memory", NULL, &text), 0);
	free(text);
}

/* As many as the server has threads, and more: each is waited for, none for ever. */
Test(ctl_server, clients_that_say_nothing_or_do_not_read_are_given_up, .timeout = 60)
{
	int silent[6];
	char *text;

	for (u32 i = 0; i < ARRAY_SIZE(silent); i++) {
		silent[i] = rundir_connect(path);
		cr_assert_geq(silent[i], 0);
		if (i & 1)
			send(silent[i], "tree\0/", 7, MSG_NOSIGNAL);
	}
	cr_expect_eq(ask("get", "/memory", NULL, &text), 0);
	free(text);
	for (u32 i = 0; i < ARRAY_SIZE(silent); i++)
		close(silent[i]);
}

Test(ctl_server, a_second_host_of_that_name_is_told_and_a_dead_one_replaced)
{
	struct server *second;

	cr_expect_eq(server_start(control, path, &second), -EADDRINUSE);
	/* As a host that was killed leaves it: a socket that nobody listens at. */
	unlink(path);
	{
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		strcpy(address.sun_path, path);
		cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		close(fd);
	}
	cr_assert_eq(server_start(control, path, &second), 0);
	server_stop(second);
}
