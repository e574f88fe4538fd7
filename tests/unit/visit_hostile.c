/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers on the manager's socket that break the protocol, lie, or leave at the worst moment. After each of them
 * another guest must come, run and go as if nothing had been.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "tests/unit/attach_valid.h"
#include "tests/unit/visit_rig.h"

static int behaves(const char *path)
{
	struct peer_guest guest;

	peer_begin(&guest, path, "behaves", 16 * MiB);
	for (u64 i = 0; i < 16 * MiB / PAGE_SIZE; i++)
		peer_write(&guest, i, 7);
	for (u64 i = 0; i < 16 * MiB / PAGE_SIZE; i++)
		EXPECT(peer_check(&guest, i, 7));
	peer_discard(&guest, 0, 512);
	EXPECT(peer_check(&guest, 100, 0));
	peer_exit(&guest);
	return 0;
}

/* Lets a hostile peer have its turn, `status` being how it ends, and then one that behaves. */
static void suffer(visit_peer *hostile, int status)
{
	struct visit visit;

	visit_init(&visit);
	visit_add(&visit, hostile);
	visit_add(&visit, behaves);
	visit_start(&visit);
	cr_expect_eq(visit_turn(&visit, 0), status);
	cr_expect_eq(visit_turn(&visit, 1), 0, "a guest that did nothing suffers");
	visit_stop(&visit);
}

/* Garbage, half a message, one too long, the wrong version, descriptors where none are due. */
static int speaks_nonsense(const char *path)
{
	static u8 bytes[3 * ATTACH_MAX_MESSAGE];
	union attach_message message = {0};
	int fds[2] = {eventfd(0, 0), eventfd(0, 0)}, socket;

	for (u32 i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)rand();
	for (u32 length = 1; length <= sizeof(bytes); length = length * 2 + 1) {
		socket = peer_connect(path);
		EXPECT(write(socket, bytes, length) == (ssize_t)length);
		peer_expect_stop(socket, "broke the attach protocol");
		close(socket);
	}
	socket = peer_connect(path);
	EXPECT(!attach_send(socket, &message, ATTACH_HELLO, sizeof(message.hello) - 8, 0, NULL, 0));
	peer_expect_stop(socket, "wrong length");
	socket = peer_connect(path);
	memset(&message, 0, sizeof(message));
	EXPECT(!attach_send(socket, &message, ATTACH_HELLO, sizeof(message.hello), 0, fds, 2));
	peer_expect_stop(socket, "descriptors");
	socket = peer_connect(path);
	EXPECT(!attach_send(socket, &message, ATTACH_START, sizeof(message.header), 0, NULL, 0));
	peer_expect_stop(socket, "was due");
	return 0;
}

Test(visit_hostile, nonsense_is_turned_away)
{
	suffer(speaks_nonsense, 0);
}

/* A VMM of the manager's own would say this; one that comes may not. */
static int pretends_to_be_a_child(const char *path)
{
	union attach_message message = {0};
	int socket = peer_connect(path);

	EXPECT(!attach_send(socket, &message, ATTACH_HELLO, sizeof(message.hello), 0, NULL, 0));
	peer_expect_stop(socket, "brings its guest");
	return 0;
}

Test(visit_hostile, a_visitor_is_no_child)
{
	suffer(pretends_to_be_a_child, 0);
}

static void offers(const char *path, int fd, const char *words)
{
	struct peer_guest guest;

	peer_introduce(&guest, path, "offers", 8 * MiB);
	peer_map(&guest, 8 * MiB);
	peer_send_memory(&guest, fd);
	peer_expect_stop(guest.socket, words);
	close(guest.socket);
	close(guest.uffd);
}

static int uffd_with(u64 features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	EXPECT(fd >= 0 && !ioctl(fd, UFFDIO_API, &api));
	return fd;
}

#define GOOD                                                                                       \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |  \
	 UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

static int offers_other_descriptors(const char *path)
{
	int ends[2];

	EXPECT(!pipe(ends));
	offers(path, ends[0], "no userfaultfd");
	offers(path, eventfd(0, 0), "no userfaultfd");
	offers(path, open("/dev/null", O_RDWR), "no userfaultfd");
	offers(path, open("/proc/self/mem", O_RDWR), "no userfaultfd");
	offers(path, (int)syscall(SYS_userfaultfd, 0), "lacks features");
	offers(path, uffd_with(UFFD_FEATURE_MISSING_SHMEM), "lacks features");
	offers(path, uffd_with(GOOD | UFFD_FEATURE_EVENT_FORK), "not agreed on");
	offers(path, uffd_with(GOOD | UFFD_FEATURE_EVENT_REMOVE), "not agreed on");
	offers(path, uffd_with(GOOD | UFFD_FEATURE_EVENT_UNMAP), "not agreed on");
	return 0;
}

Test(visit_hostile, only_a_userfaultfd_as_agreed_is_taken)
{
	suffer(offers_other_descriptors, 0);
}

static void lies(const char *path, const struct attach_region *regions, u32 count,
		 const char *words)
{
	union attach_message message = {.memory = {.accel = ATTACH_ACCEL_THREAD, .count = count}};
	struct peer_guest guest;

	peer_introduce(&guest, path, "lies", 8 * MiB);
	peer_map(&guest, 8 * MiB);
	memcpy(message.memory.regions, regions, count * sizeof(*regions));
	EXPECT(!attach_send(guest.socket, &message, ATTACH_MEMORY, sizeof(message.memory), 0,
			    &guest.uffd, 1));
	peer_expect_stop(guest.socket, words);
	close(guest.socket);
	close(guest.uffd);
}

static int lies_about_regions(const char *path)
{
	const u64 a = 1ULL << 40, r = REGION_SIZE;
	const struct attach_region overlap[] = {{0, a, 0, 2 * r}, {8 * r, a + r, 2 * r, 2 * r}};
	const struct attach_region twice[] = {{0, a, 0, 2 * r}, {8 * r, a + 8 * r, 0, 2 * r}};
	const struct attach_region beyond[] = {{0, a, 2 * r, 4 * r}};
	const struct attach_region wraps[] = {{0, a, -r, 2 * r}};
	const struct attach_region uneven[] = {{0, a + PAGE_SIZE, 0, r}};
	const struct attach_region empty[] = {{0, a, 0, 0}};

	lies(path, overlap, 2, "overlap");
	lies(path, twice, 2, "overlap");
	lies(path, beyond, 1, "not its RAM");
	lies(path, wraps, 1, "wraps");
	lies(path, uneven, 1, "unaligned");
	lies(path, empty, 1, "empty");
	return 0;
}

Test(visit_hostile, regions_that_lie_are_refused)
{
	suffer(lies_about_regions, 0);
}

/* Regions where nothing is, or what is not the RAM file: all ioctls on them fail. */
static int maps_something_else(const char *path)
{
	const u64 bytes = 8 * MiB;
	struct peer_guest guest;
	union attach_message message;
	int fds[2];

	peer_introduce(&guest, path, "elsewhere", bytes);
	peer_map(&guest, bytes);
	munmap(guest.at, bytes);
	peer_send_memory(&guest, guest.uffd);
	EXPECT(peer_await(guest.socket, ATTACH_START, &message, fds));
	peer_discard(&guest, 0, 2048);
	EXPECT(mmap(guest.at, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == guest.at);
	memset(guest.at, 1, bytes);
	peer_discard(&guest, 0, 2048);
	EXPECT(guest.at[0] == 1);
	peer_exit(&guest);
	return 0;
}

Test(visit_hostile, memory_that_is_not_there_is_its_own_affair)
{
	suffer(maps_something_else, 0);
}

/* Unmaps its RAM while it is in use, beneath eviction and refill. */
static int unmaps_its_ram(const char *path)
{
	const u64 bytes = 64 * MiB;
	struct peer_guest guest;

	peer_begin(&guest, path, "unmaps", bytes);
	for (u64 i = 0; i < bytes / PAGE_SIZE; i++) {
		peer_write(&guest, i, 1);
		if (i == bytes / PAGE_SIZE / 4)
			munmap(guest.at, bytes / 8);
	}
	munmap(guest.at, bytes);
	peer_discard(&guest, 0, bytes / PAGE_SIZE);
	peer_exit(&guest);
	return 0;
}

Test(visit_hostile, a_vmm_may_unmap_its_ram)
{
	suffer(unmaps_its_ram, 0);
}

/* It keeps the RAM file's descriptor, and punches and fills it behind the manager's back: it may be killed. */
static int digs_in_its_file(const char *path)
{
	const u64 bytes = 64 * MiB;
	struct peer_guest guest;
	u8 page[PAGE_SIZE] = {1};

	peer_begin(&guest, path, "digs", bytes);
	for (u64 i = 0; i < bytes / PAGE_SIZE; i++) {
		peer_write(&guest, i, 1);
		if (i % 3 == 0)
			fallocate(guest.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t)(i / 2 * PAGE_SIZE), PAGE_SIZE);
		if (i % 7 == 0 &&
		    pwrite(guest.ram, page, PAGE_SIZE, (off_t)(i / 3 * PAGE_SIZE)) < 0)
			break;
	}
	for (u64 i = 0; i < bytes / PAGE_SIZE; i++)
		peer_check(&guest, i, 1);
	kill(getpid(), SIGKILL); /* it was lucky */
	return 0;
}

Test(visit_hostile, a_vmm_that_digs_in_its_file_harms_itself)
{
	suffer(digs_in_its_file, -1);
}

/* Leaves after so many steps. */
static u32 steps;

static int leaves(const char *path)
{
	struct peer_guest guest = {.uffd = -1};
	union attach_message message;
	int fds[2], socket;

	if (steps <= 1) {
		socket = peer_connect(path);
		if (steps)
			peer_hello(socket, "leaves", 8 * MiB);
		return 0;
	}
	peer_introduce(&guest, path, "leaves", 8 * MiB);
	if (steps == 2)
		return 0;
	peer_map(&guest, 8 * MiB);
	peer_send_memory(&guest, guest.uffd);
	if (steps == 3)
		return 0;
	EXPECT(peer_await(guest.socket, ATTACH_START, &message, fds));
	if (steps == 4)
		return 0;
	memset(guest.at, 1, 4 * MiB);
	if (steps == 5)
		kill(getpid(), SIGKILL);
	if (steps == 6) /* the connection alone */
		close(guest.socket);
	message = (union attach_message){.drop = {.what = ATTACH_DROP_FREE, .count = 1}};
	message.drop.runs[0] = (struct attach_run){0, 2048};
	for (u32 i = 0; steps == 7 && i < 4; i++)
		attach_send(guest.socket, &message, ATTACH_DROP,
			    (u32)offsetof(struct attach_drop, runs[1]), i, NULL, 0);
	return 0;
}

Test(visit_hostile, a_vmm_may_leave_at_every_step)
{
	struct guest_snapshot snapshot;

	for (steps = 0; steps <= 7; steps++) {
		struct visit visit;

		visit_init(&visit);
		visit_add(&visit, leaves);
		visit_add(&visit, behaves);
		visit_start(&visit);
		cr_expect_eq(visit_turn(&visit, 0), steps == 5 ? -1 : 0, "step %u", steps);
		cr_expect_eq(visit_turn(&visit, 1), 0, "after step %u", steps);
		if (steps >= 2)
			cr_expect(visit_guest(&visit, "leaves", GUEST_LIFE_ENDED, &snapshot));
		visit_stop(&visit);
	}
}

/* Silent connections take places, but a user's share alone, and not for long. */
static int sits_there(const char *path)
{
	int sockets[64], socket;

	for (u32 i = 0; i < ARRAY_SIZE(sockets); i++)
		sockets[i] = peer_connect(path);
	peer_expect_stop(sockets[ARRAY_SIZE(sockets) - 1], "too many");
	peer_expect_stop(sockets[0], "in time");
	socket = peer_connect(path);
	peer_hello(socket, "late", 8 * MiB);
	EXPECT(peer_await(socket, ATTACH_GUEST, &(union attach_message){0}, (int[2]){0}));
	return 0;
}

Test(visit_hostile, who_only_sits_there_must_go)
{
	suffer(sits_there, 0);
}

/* More DROPs than may be unanswered, questions that are not its to ask, and answers nobody asked for. */
static void ends_for(const char *path, enum attach_type type, u32 length, u32 times)
{
	union attach_message message = {0};
	struct peer_guest guest;
	int fds[2];

	peer_begin(&guest, path, "floods", 64 * MiB);
	message.drop.what = ATTACH_DROP_FREE;
	message.drop.count = 1;
	for (u32 i = 0; i < times; i++) {
		if (type == ATTACH_DROP)
			message.drop.runs[0] = (struct attach_run){0, 64 * MiB / PAGE_SIZE};
		if (attach_send(guest.socket, &message, type, length, i, NULL, 0))
			break;
	}
	while (peer_await(guest.socket, ATTACH_TYPES, &message, fds))
		;
}

static int floods(const char *path)
{
	/* It is killed for it: by a child, so that it can go on. */
	ends_for(path, ATTACH_DROP, (u32)offsetof(struct attach_drop, runs[1]), 100000);
	return 0;
}

Test(visit_hostile, a_flood_ends_who_sends_it)
{
	suffer(floods, -1);
}

static int starts_itself(const char *path)
{
	ends_for(path, ATTACH_START, sizeof(struct attach_header), 1);
	return 0;
}

Test(visit_hostile, what_is_not_its_to_say_ends_it)
{
	suffer(starts_itself, -1);
}

/* Reads nothing, while it makes the manager answer and ask. */
static int does_not_read(const char *path)
{
	union attach_message message = {0};
	struct peer_guest guest;

	peer_begin(&guest, path, "deaf", 8 * MiB);
	peer_deafen();
	message.plug.region = (struct attach_region){0, 1ULL << 40, 0, REGION_SIZE};
	for (u32 i = 0; i < 200000; i++)
		if (attach_send(guest.socket, &message, ATTACH_PLUG, sizeof(message.plug), i, NULL,
				0))
			break;
	pause();
	return 0;
}

Test(visit_hostile, who_does_not_read_ends)
{
	suffer(does_not_read, -1);
}

/* Any messages in any order, whole and well-formed or a little bent, at any time. */
static void babble(const char *path, u32 seed)
{
	const u32 talk = 1U << ATTACH_MEMORY | 1U << ATTACH_ZAPPED | 1U << ATTACH_STATS |
			 1U << ATTACH_CONSOLE | 1U << ATTACH_DROP | 1U << ATTACH_BALLOON_STATS |
			 1U << ATTACH_REMAPPED | 1U << ATTACH_PLUG;
	static union attach_message message;
	struct peer_guest guest = {.socket = -1};
	int fds[2] = {eventfd(0, 0), open("/dev/zero", O_RDWR)};

	srand(seed);
	if (rand() % 4 == 0)
		guest.socket = peer_connect(path);
	else if (rand() % 4 == 0)
		peer_introduce(&guest, path, "babbles", 8 * MiB);
	else
		peer_begin(&guest, path, "babbles", 8 * MiB);
	for (u32 i = 0; i < 200; i++) {
		enum attach_type type = ATTACH_HELLO + (u32)rand() % (ATTACH_TYPES - 1);
		struct attach_shape shape = valid_message(&message, type);

		for (u32 bent = (u32)rand() % 4; bent; bent--)
			message.bytes[sizeof(message.header) + (u32)rand() % 64] = (u8)rand();
		/* What ends it at once comes seldom. */
		if (!(talk >> type & 1) && rand() % 64)
			continue;
		if (attach_send(guest.socket, &message, type, shape.length, (u32)rand(), fds,
				shape.nfds))
			break;
	}
	_exit(0);
}

static int babbles(const char *path)
{
	for (u32 seed = 1; seed <= 60; seed++) {
		pid_t pid = fork();

		if (!pid)
			babble(path, seed);
		waitpid(pid, NULL, 0);
	}
	return 0;
}

Test(visit_hostile, any_conversation_harms_its_guest_alone)
{
	suffer(babbles, 0);
}
