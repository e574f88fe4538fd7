/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/visit_rig.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "lib/clock.h"
#include "tests/unit/mem_rig.h"

#define PATIENCE_MS 60000

void visit_init(struct visit *visit)
{
	memset(visit, 0, sizeof(*visit));
	host_config_defaults(&visit->config);
	snprintf(visit->folder, sizeof(visit->folder), "/tmp/ballast-visit-XXXXXX");
	cr_assert(mkdtemp(visit->folder));
	snprintf(visit->config.name, sizeof(visit->config.name), "visit");
	snprintf(visit->config.attach, sizeof(visit->config.attach), "%s/attach", visit->folder);
	visit->config.listens = true;
	visit->config.attach_mode = 0666;
	visit->config.memory_bytes = 40 * MiB;
	visit->config.pool_percent = 50;
	visit->config.cgroup = false;
	for (u32 i = 0; i < ARRAY_SIZE(visit->sections); i++) {
		guest_config_defaults(&visit->sections[i]);
		visit->sections[i].memory_bytes = 96 * MiB;
	}
	visit->config.guest_default = &visit->sections[0];
}

u32 visit_add(struct visit *visit, visit_peer *peer)
{
	int gate[2];
	pid_t pid;
	char go;

	cr_assert_eq(pipe(gate), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(gate[1]);
		_exit(read(gate[0], &go, 1) == 1 ? peer(visit->config.attach) : 0);
	}
	close(gate[0]);
	visit->gates[visit->peers] = gate[1];
	visit->pids[visit->peers] = pid;
	return visit->peers++;
}

static void *serve(void *argument)
{
	struct visit *visit = argument;

	while (!visit->stop)
		manager_serve(visit->manager, 20);
	return NULL;
}

void visit_start(struct visit *visit)
{
	int fd = faultfd_open(true);

	if (fd < 0)
		cr_skip_test("no userfaultfd: %s", strerror(-fd));
	close(fd);
	cr_assert_eq(manager_create(&visit->config, &visit->manager), 0);
	cr_assert_eq(manager_start_guests(visit->manager), 0);
	pthread_create(&visit->server, NULL, serve, visit);
}

void visit_let(struct visit *visit, u32 peer)
{
	cr_assert_eq(write(visit->gates[peer], "x", 1), 1);
}

int visit_await(struct visit *visit, u32 peer)
{
	int status;

	for (u32 i = 0; i < PATIENCE_MS / 5; i++) {
		if (waitpid(visit->pids[peer], &status, WNOHANG) == visit->pids[peer]) {
			visit->pids[peer] = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		}
		usleep(5000);
	}
	return -2;
}

int visit_turn(struct visit *visit, u32 peer)
{
	visit_let(visit, peer);
	return visit_await(visit, peer);
}

bool visit_guest(struct visit *visit, const char *name, enum guest_life life,
		 struct guest_snapshot *snapshot)
{
	for (u32 i = 0; i < 4000; i++) {
		int index = manager_find_guest(visit->manager, name);

		if (index >= 0) {
			manager_guest_snapshot(visit->manager, (u32)index, snapshot);
			if (snapshot->life == life)
				return true;
		}
		usleep(5000);
	}
	return false;
}

void visit_stop(struct visit *visit)
{
	struct host_snapshot host;
	int status;

	for (u32 i = 0; i < visit->peers; i++) {
		close(visit->gates[i]);
		if (visit->pids[i] > 0)
			kill(visit->pids[i], SIGKILL);
		if (visit->pids[i] > 0)
			waitpid(visit->pids[i], &status, 0);
	}
	if (visit->manager) {
		for (u32 i = 0; i < 4000; i++) {
			manager_host_snapshot(visit->manager, &host);
			if (!host.guests_running)
				break;
			usleep(5000);
		}
		cr_expect_eq(host.guests_running, 0, "a guest outlived its VMM");
		cr_expect_eq(host.resident_bytes, 0);
		visit->stop = true;
		pthread_join(visit->server, NULL);
		manager_destroy(visit->manager);
	}
	cr_expect_neq(access(visit->config.attach, F_OK), 0, "the socket's file is still there");
	rmdir(visit->folder);
}

/* ---- peers ---- */

void peer_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: a peer expected %s\n", file, line, what);
	_exit(1);
}

int peer_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	EXPECT(!connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static void say_hello(int socket, const char *name, u64 bytes, u32 flags)
{
	union attach_message message = {.hello = {.pid = (u32)getpid(),
						  .flags = ATTACH_HELLO_BRINGS | flags,
						  .ram_bytes = bytes,
						  .vcpus = 1}};

	snprintf(message.hello.name, sizeof(message.hello.name), "%s", name);
	EXPECT(!attach_send(socket, &message, ATTACH_HELLO, sizeof(message.hello), 0, NULL, 0));
}

void peer_hello(int socket, const char *name, u64 bytes)
{
	say_hello(socket, name, bytes, 0);
}

/* The guest of this process: what its ears heard and nobody has awaited yet. */
static struct peer_guest *the_guest;
static pthread_mutex_t ears_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ears_changed = PTHREAD_COND_INITIALIZER;
static union attach_message heard[16];
static u32 heard_count;
static bool listening, deaf;

static void zap(int socket, union attach_message *message)
{
	u32 serial = message->header.serial;

	for (u32 i = 0; i < message->zap.count; i++)
		if (message->zap.ranges[i].file_offset < the_guest->bytes)
			madvise(the_guest->at + message->zap.ranges[i].file_offset,
				message->zap.ranges[i].length, MADV_DONTNEED);
	attach_send(socket, message, ATTACH_ZAPPED, sizeof(message->header), serial, NULL, 0);
}

/* Answers ZAP, while the guest may wait for a page; keeps answers and the end for who awaits them. */
static void *listen_on(void *unused)
{
	union attach_message message;
	int fds[2], socket = the_guest->socket;
	const char *why;
	u32 nfds;

	(void)unused;
	while (!attach_receive(socket, &message, fds, &nfds, &why)) {
		if (message.header.type == ATTACH_STOP)
			fprintf(stderr, "a peer is told: %s\n", message.stop.reason);
		if (message.header.type == ATTACH_ZAP) {
			zap(socket, &message);
			continue;
		}
		if (message.header.type == ATTACH_BALLOON)
			continue;
		pthread_mutex_lock(&ears_lock);
		EXPECT(heard_count < ARRAY_SIZE(heard));
		heard[heard_count++] = message;
		pthread_cond_broadcast(&ears_changed);
		pthread_mutex_unlock(&ears_lock);
	}
	pthread_mutex_lock(&ears_lock);
	deaf = true;
	pthread_cond_broadcast(&ears_changed);
	pthread_mutex_unlock(&ears_lock);
	return NULL;
}

void peer_listen(struct peer_guest *guest)
{
	pthread_t thread;

	the_guest = guest;
	listening = true;
	EXPECT(!pthread_create(&thread, NULL, listen_on, NULL));
	pthread_detach(thread);
}

void peer_deafen(void)
{
	pthread_mutex_lock(&ears_lock);
}

static bool await_heard(enum attach_type type, union attach_message *message)
{
	bool found = false;

	pthread_mutex_lock(&ears_lock);
	for (;;) {
		for (u32 i = 0; i < heard_count && !found; i++) {
			if (heard[i].header.type != type)
				continue;
			*message = heard[i];
			heard[i] = heard[--heard_count];
			found = true;
		}
		if (found || deaf)
			break;
		pthread_cond_wait(&ears_changed, &ears_lock);
	}
	pthread_mutex_unlock(&ears_lock);
	return found;
}

bool peer_await(int socket, enum attach_type type, union attach_message *message, int fds[2])
{
	const char *why;
	u32 nfds;

	if (listening && socket == the_guest->socket)
		return await_heard(type, message);
	while (!attach_receive(socket, message, fds, &nfds, &why)) {
		if (message->header.type == type)
			return true;
		if (message->header.type == ATTACH_STOP)
			fprintf(stderr, "a peer is told: %s\n", message->stop.reason);
	}
	return false;
}

void peer_expect_stop(int socket, const char *words)
{
	union attach_message message;
	int fds[2];

	EXPECT(peer_await(socket, ATTACH_STOP, &message, fds));
	if (strstr(message.stop.reason, words))
		return;
	fprintf(stderr, "a peer is told: %.*s\n", ATTACH_TEXT_MAX, message.stop.reason);
	peer_fail(__FILE__, __LINE__, words);
}

static void introduce(struct peer_guest *guest, const char *path, const char *name, u64 ram_bytes,
		      bool removes)
{
	union attach_message message;
	int fds[2];

	*guest = (struct peer_guest){.socket = peer_connect(path), .uffd = -1, .removes = removes};
	say_hello(guest->socket, name, ram_bytes, removes ? ATTACH_HELLO_REMOVES : 0);
	EXPECT(peer_await(guest->socket, ATTACH_GUEST, &message, fds));
	guest->ram = fds[0];
	guest->ram_bytes = message.guest.ram_bytes;
	EXPECT(guest->ram_bytes == ram_bytes);
	EXPECT(!strcmp(message.guest.name, name));
}

void peer_introduce(struct peer_guest *guest, const char *path, const char *name, u64 ram_bytes)
{
	introduce(guest, path, name, ram_bytes, false);
}

void peer_map(struct peer_guest *guest, u64 bytes)
{
	u8 *area = mmap(NULL, 256 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	guest->at = (u8 *)ALIGN_UP((uintptr_t)area, REGION_SIZE);
	guest->bytes = bytes;
	EXPECT(mmap(guest->at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, guest->ram,
		    0) == guest->at);
	guest->uffd = mem_uffd_open(guest->removes);
	EXPECT(guest->uffd >= 0);
	EXPECT(!faultfd_register(guest->uffd, (u64)(uintptr_t)guest->at, bytes, guest->removes));
}

void peer_send_memory(struct peer_guest *guest, int fd)
{
	union attach_message message = {
		.memory = {.accel = ATTACH_ACCEL_THREAD,
			   .count = 1,
			   .stage = (u64)(uintptr_t)guest->stage,
			   .regions = {{0, (u64)(uintptr_t)guest->at, 0, guest->bytes}}}};

	EXPECT(!attach_send(guest->socket, &message, ATTACH_MEMORY, sizeof(message.memory), 0, &fd,
			    1));
}

static void begin(struct peer_guest *guest, const char *path, const char *name, u64 bytes,
		  bool removes)
{
	union attach_message message;
	int fds[2];

	introduce(guest, path, name, bytes, removes);
	peer_map(guest, bytes);
	peer_send_memory(guest, guest->uffd);
	EXPECT(peer_await(guest->socket, ATTACH_START, &message, fds));
	peer_listen(guest);
}

void peer_begin(struct peer_guest *guest, const char *path, const char *name, u64 bytes)
{
	begin(guest, path, name, bytes, false);
}

void peer_begin_removing(struct peer_guest *guest, const char *path, const char *name, u64 bytes)
{
	begin(guest, path, name, bytes, true);
}

static u64 word_of(u64 page, u32 version, u32 place)
{
	/* As pages are: half of it repeats. */
	return page * 0x9e3779b97f4a7c15ULL ^ (u64)version << 20 ^ (place % 2 ? 0 : place / 16);
}

void peer_write(struct peer_guest *guest, u64 page, u32 version)
{
	volatile u64 *words = (volatile u64 *)(guest->at + page * PAGE_SIZE);

	for (u32 i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		words[i] = version ? word_of(page, version, i) : 0;
}

bool peer_check(const struct peer_guest *guest, u64 page, u32 version)
{
	const volatile u64 *words = (const volatile u64 *)(guest->at + page * PAGE_SIZE);

	for (u32 i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		if (words[i] != (version ? word_of(page, version, i) : 0))
			return false;
	return true;
}

void peer_discard(struct peer_guest *guest, u64 page, u64 count)
{
	union attach_message message = {.drop = {.what = ATTACH_DROP_FREE, .count = 1}};
	int fds[2];

	message.drop.runs[0] = (struct attach_run){(u32)page, (u32)count};
	EXPECT(!attach_send(guest->socket, &message, ATTACH_DROP,
			    (u32)offsetof(struct attach_drop, runs[1]), ++guest->serial, NULL, 0));
	EXPECT(peer_await(guest->socket, ATTACH_DROPPED, &message, fds));
	EXPECT(message.header.serial == guest->serial);
}

u32 peer_plug(struct peer_guest *guest, enum attach_plug_what what, u64 hva, u64 offset, u64 length)
{
	union attach_message message = {
		.plug = {.what = what, .region = {offset, hva, offset, length}}};
	int fds[2];

	EXPECT(!attach_send(guest->socket, &message, ATTACH_PLUG, sizeof(message.plug),
			    ++guest->serial, NULL, 0));
	EXPECT(peer_await(guest->socket, ATTACH_PLUGGED, &message, fds));
	EXPECT(message.header.serial == guest->serial);
	return message.plugged.refused;
}

void peer_exit(struct peer_guest *guest)
{
	union attach_message message = {.exit = {.code = ATTACH_EXIT_OK, .text = "done"}};

	EXPECT(!attach_send(guest->socket, &message, ATTACH_EXIT, sizeof(message.exit), 0, NULL,
			    0));
}
