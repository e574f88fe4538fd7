/* SPDX-License-Identifier: Apache-2.0 */
/* The manager VMMs are tested against. */
#include "tests/unit/hv_manager.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/vmm.h"
#include "lib/clock.h"

bool test_have_kvm(void)
{
	return !access("/dev/kvm", R_OK | W_OK);
}

void test_manager_init(struct test_manager *manager)
{
	*manager = (struct test_manager){.socket = -1, .ram = -1, .uffd = -1};
	manager->guest = (struct attach_guest){
		.ram_bytes = 16 * MiB,
		.vcpus = 1,
		.accel = ATTACH_ACCEL_KVM,
		.seed = 1,
		.name = "test",
		.workload = "idle",
	};
}

static void resolve(struct test_manager *manager, const struct uffd_msg *event)
{
	u64 address = ALIGN_DOWN(event->arg.pagefault.address, PAGE_SIZE);
	struct uffdio_range range = {address, PAGE_SIZE};
	struct uffdio_zeropage zero = {.range = range};
	struct uffdio_continue minor = {.range = range};

	if (event->event != UFFD_EVENT_PAGEFAULT)
		return;
	manager->faults++;
	if (manager->withhold_from &&
	    address - manager->memory.regions[0].hva >= manager->withhold_from) {
		manager->withheld = true;
		return;
	}
	if (event->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR)
		ioctl(manager->uffd, UFFDIO_CONTINUE, &minor);
	else
		ioctl(manager->uffd, UFFDIO_ZEROPAGE, &zero);
	/* Two vCPUs may have asked for one page. */
	ioctl(manager->uffd, UFFDIO_WAKE, &range);
}

static void *fault_thread(void *argument)
{
	struct test_manager *manager = argument;
	struct pollfd readable = {.fd = manager->uffd, .events = POLLIN};
	struct uffd_msg event;

	while (!manager->quit) {
		if (poll(&readable, 1, 10) <= 0)
			continue;
		if (read(manager->uffd, &event, sizeof(event)) == sizeof(event))
			resolve(manager, &event);
	}
	return NULL;
}

static void send_message(struct test_manager *manager, union attach_message *message,
			 enum attach_type type, u32 length, u32 serial, const int *fds, u32 nfds)
{
	if (attach_send(manager->socket, message, type, length, serial, fds, nfds))
		perror("attach_send");
}

static int make_file(const char *name, u64 bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		perror(name);
		_exit(99);
	}
	return fd;
}

static void send_guest(struct test_manager *manager)
{
	union attach_message message = {.guest = manager->guest};
	int fds[2] = {manager->ram, -1};
	u32 nfds = 1;

	if (manager->guest.data_bytes) {
		fds[nfds++] = make_file("data", manager->guest.data_bytes);
		if (pwrite(fds[1], manager->data, manager->guest.data_bytes, 0) < 0)
			perror("data");
	}
	send_message(manager, &message, ATTACH_GUEST, sizeof(message.guest), 0, fds, nfds);
	if (nfds > 1)
		close(fds[1]);
}

static void fork_vmm(struct test_manager *manager)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		_exit(99);
	manager->pid = fork();
	if (!manager->pid)
		_exit(manager->image ? vmm_run(pair[1], manager->image) : vmm_main(pair[1]));
	close(pair[1]);
	manager->socket = pair[0];
}

bool test_manager_start(struct test_manager *manager)
{
	union attach_message message = {};

	manager->ram = make_file("ram", manager->guest.ram_bytes);
	manager->alias = mmap(NULL, manager->guest.ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			      manager->ram, 0);
	fork_vmm(manager);
	if (!test_manager_serve(manager, ATTACH_HELLO, 10000))
		return false;
	send_guest(manager);
	if (!test_manager_serve(manager, ATTACH_MEMORY, 10000))
		return false;
	pthread_create(&manager->thread, NULL, fault_thread, manager);
	manager->started_at = clock_now_ns();
	send_message(manager, &message, ATTACH_START, sizeof(message.header), 0, NULL, 0);
	return true;
}

static void note(struct test_manager *manager, const union attach_message *message, const int *fds,
		 u32 nfds)
{
	switch (message->header.type) {
	case ATTACH_MEMORY:
		manager->memory = message->memory;
		manager->uffd = fds[0];
		return;
	case ATTACH_STATS:
		manager->stats = message->stats;
		manager->stats_count++;
		break;
	case ATTACH_ZAPPED:
		manager->zapped_serial = message->header.serial;
		break;
	case ATTACH_CONSOLE:
		strncat(manager->console, message->console.text,
			sizeof(manager->console) - strlen(manager->console) - 1);
		break;
	case ATTACH_EXIT:
		manager->exit = message->exit;
		manager->exited = true;
		manager->exited_at = clock_now_ns();
	}
	for (u32 i = 0; i < nfds; i++)
		close(fds[i]);
}

bool test_manager_serve(struct test_manager *manager, enum attach_type type, int timeout_ms)
{
	u64 deadline = clock_now_ns() + (u64)timeout_ms * NSEC_PER_MSEC;
	struct pollfd readable = {.fd = manager->socket, .events = POLLIN};
	union attach_message message;
	int fds[ATTACH_MAX_FDS];
	const char *why;
	u32 nfds;

	while (clock_now_ns() < deadline) {
		if (poll(&readable, 1, 20) <= 0)
			continue;
		if (attach_receive(manager->socket, &message, fds, &nfds, &why))
			return false;
		note(manager, &message, fds, nfds);
		if (message.header.type == type)
			return true;
	}
	return false;
}

void test_manager_stop(struct test_manager *manager, bool graceful)
{
	union attach_message message = {.stop = {.graceful = graceful, .reason = "enough"}};

	send_message(manager, &message, ATTACH_STOP, sizeof(message.stop), 0, NULL, 0);
}

bool test_manager_zap(struct test_manager *manager, u64 offset, u64 length)
{
	union attach_message message = {.zap = {.count = 1, .ranges = {{offset, length}}}};
	u32 serial = manager->zapped_serial + 1;

	send_message(manager, &message, ATTACH_ZAP, sizeof(message.zap), serial, NULL, 0);
	return test_manager_serve(manager, ATTACH_ZAPPED, 5000) && manager->zapped_serial == serial;
}

int test_manager_wait(struct test_manager *manager, int timeout_ms)
{
	u64 deadline = clock_now_ns() + (u64)timeout_ms * NSEC_PER_MSEC;
	pid_t pid = manager->pid;
	int status;

	manager->pid = 0;
	while (clock_now_ns() < deadline) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(2000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

void test_manager_end(struct test_manager *manager)
{
	manager->quit = true;
	if (manager->thread)
		pthread_join(manager->thread, NULL);
	if (manager->pid > 0)
		test_manager_wait(manager, 0);
	if (manager->socket >= 0)
		close(manager->socket);
	if (manager->uffd >= 0)
		close(manager->uffd);
	munmap(manager->alias, manager->guest.ram_bytes);
	close(manager->ram);
}
