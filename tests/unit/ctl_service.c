/* SPDX-License-Identifier: Apache-2.0 */
/* `ballast manager` as systemd sees it: a process of its own, and a socket for what it says of itself. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "ctl/service.h"
#include "tests/unit/visit_rig.h"

#define PATIENCE_MS 60000

struct service {
	char folder[64], notify[96], attach[96], ini[96];
	int notices;
	pid_t pid;
};

static void bind_notices(struct service *service)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, service->notify);
	service->notices = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(service->notices, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", service->notify, 1);
}

static void write_ini(const struct service *service, const char *memory)
{
	FILE *ini = fopen(service->ini, "w");

	cr_assert(ini);
	fprintf(ini,
		"[host]\nname = service-%d\nmemory = %s\nattach = %s\ncontrol = off\ncgroup = no\n"
		"[guest-default]\nmemory = 64M\n",
		getpid(), memory, service->attach);
	cr_assert_eq(fclose(ini), 0);
}

static void start(struct service *service, const char *memory)
{
	char *argv[] = {(char[]){"manager"}, service->ini, NULL};
	int fd = faultfd_open(true);

	if (fd < 0)
		cr_skip_test("no userfaultfd: %s", strerror(-fd));
	close(fd);
	strcpy(service->folder, "/tmp/ballast-service-XXXXXX");
	cr_assert(mkdtemp(service->folder));
	snprintf(service->notify, sizeof(service->notify), "%s/notify", service->folder);
	snprintf(service->attach, sizeof(service->attach), "%s/attach", service->folder);
	snprintf(service->ini, sizeof(service->ini), "%s/host.ini", service->folder);
	bind_notices(service);
	write_ini(service, memory);
	fflush(NULL);
	service->pid = fork();
	if (!service->pid)
		exit(manager_command.run(2, argv));
}

/* The next notice has all these words. */
static bool notices(const struct service *service, const char *words, const char *more)
{
	struct pollfd readable = {.fd = service->notices, .events = POLLIN};
	char text[1024];
	ssize_t got;

	if (poll(&readable, 1, PATIENCE_MS) <= 0)
		return false;
	got = recv(service->notices, text, sizeof(text) - 1, 0);
	text[MAX(got, 0)] = '\0';
	if (strstr(text, words) && strstr(text, more))
		return true;
	fprintf(stderr, "notice: %s\n", text);
	return false;
}

/*
 * It is past saying that it is ready: it turns a stranger away. The thread sanitizer may lose a signal that
 * comes in the midst of sd_notify().
 */
static void await_serving(const struct service *service)
{
	int stranger = peer_connect(service->attach);
	char answer[64];

	cr_assert_eq(send(stranger, "?", 1, 0), 1);
	while (recv(stranger, answer, sizeof(answer), 0) > 0)
		;
	close(stranger);
}

/* Its exit status; no notice is left. */
static int finish(struct service *service)
{
	char text[1024];
	int status;

	cr_assert_eq(waitpid(service->pid, &status, 0), service->pid);
	cr_expect_lt(recv(service->notices, text, sizeof(text), MSG_DONTWAIT), 0);
	cr_expect_neq(access(service->attach, F_OK), 0, "the socket's file is still there");
	close(service->notices);
	unlink(service->notify);
	unlink(service->ini);
	rmdir(service->folder);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What is started after it finds the socket; what is stopped before it is stopped while guests still run. */
Test(ctl_service, says_when_it_is_ready_and_when_it_ends, .timeout = 120)
{
	struct peer_guest guest;
	struct service service;

	start(&service, "40M");
	cr_assert(notices(&service, "READY=1", "STATUS="));
	peer_begin(&guest, service.attach, "one", 8 * MiB);
	peer_write(&guest, 3, 1);
	kill(service.pid, SIGTERM);
	cr_expect(notices(&service, "STOPPING=1", "STATUS="));
	peer_expect_stop(guest.socket, "told to end");
	cr_expect(peer_check(&guest, 3, 1), "a guest that shuts down still has its memory");
	cr_expect_eq(waitpid(service.pid, NULL, WNOHANG), 0, "and it is waited for");
	peer_exit(&guest);
	cr_expect_eq(finish(&service), 0);
}

Test(ctl_service, ends_at_once_without_guests, .timeout = 120)
{
	struct service service;

	start(&service, "40M");
	cr_assert(notices(&service, "READY=1", service.attach));
	await_serving(&service);
	kill(service.pid, SIGINT);
	cr_expect(notices(&service, "STOPPING=1", ""));
	cr_expect_eq(finish(&service), 0);
}

Test(ctl_service, is_never_ready_with_a_configuration_that_is_wrong, .timeout = 120)
{
	struct service service;

	start(&service, "much");
	cr_expect_neq(finish(&service), 0);
}
