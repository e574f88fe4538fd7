/* SPDX-License-Identifier: Apache-2.0 */
/* VMMs that bring their guests: as it should be, and how they are admitted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "lib/clock.h"
#include "tests/unit/visit_rig.h"

#define NOBODY 65534

/* Writes more than the budget, and reads it all back. */
static int works(const char *path)
{
	struct peer_guest guest;
	u64 pages = 64 * MiB / PAGE_SIZE;

	peer_begin(&guest, path, "works", 64 * MiB);
	for (u32 version = 1; version <= 2; version++)
		for (u64 i = 0; i < pages; i++)
			peer_write(&guest, i, version);
	for (u64 i = 0; i < pages; i++)
		EXPECT(peer_check(&guest, i, 2));
	peer_exit(&guest);
	return 0;
}

Test(visit_guests, a_guest_that_came_runs_beyond_the_budget)
{
	struct guest_snapshot snapshot;
	struct visit visit;
	u32 peer;

	visit_init(&visit);
	peer = visit_add(&visit, works);
	visit_start(&visit);
	cr_expect_eq(visit_turn(&visit, peer), 0);
	cr_expect(visit_guest(&visit, "works", GUEST_LIFE_ENDED, &snapshot));
	cr_expect_eq(snapshot.exit_code, ATTACH_EXIT_OK);
	cr_expect_str_eq(snapshot.exit_text, "done");
	cr_expect_gt(snapshot.evicted_pages, 0);
	cr_expect_eq(snapshot.memory_bytes, 64 * MiB);
	visit_stop(&visit);
}

/* Its place is taken by the next of its name: a service lives long, and its list must not. */
Test(visit_guests, a_guest_may_come_again)
{
	struct guest_snapshot snapshot;
	struct host_snapshot host;
	struct visit visit;
	u32 first, second;

	visit_init(&visit);
	first = visit_add(&visit, works);
	second = visit_add(&visit, works);
	visit_start(&visit);
	cr_expect_eq(visit_turn(&visit, first), 0);
	cr_expect(visit_guest(&visit, "works", GUEST_LIFE_ENDED, &snapshot));
	cr_expect_eq(visit_turn(&visit, second), 0);
	cr_expect(visit_guest(&visit, "works", GUEST_LIFE_ENDED, &snapshot));
	manager_host_snapshot(visit.manager, &host);
	cr_expect_eq(host.guest_count, 1);
	visit_stop(&visit);
}

static int is_unknown(const char *path)
{
	int socket = peer_connect(path);

	peer_hello(socket, "stranger", 64 * MiB);
	peer_expect_stop(socket, "no [guest stranger]");
	return 0;
}

static int wants_too_much(const char *path)
{
	int socket = peer_connect(path);

	peer_hello(socket, "known", 98 * MiB);
	peer_expect_stop(socket, "may have 96");
	return 0;
}

static int has_a_twin(const char *path)
{
	struct peer_guest guest;
	int socket;

	peer_begin(&guest, path, "known", 8 * MiB);
	socket = peer_connect(path);
	peer_hello(socket, "known", 8 * MiB);
	peer_expect_stop(socket, "runs already");
	peer_write(&guest, 3, 1);
	EXPECT(peer_check(&guest, 3, 1));
	peer_exit(&guest);
	return 0;
}

/* A user apart from root, from here on. */
static void become_nobody(void)
{
	EXPECT(!setuid(NOBODY));
}

static int is_somebody_else(const char *path)
{
	int socket;

	become_nobody();
	socket = peer_connect(path);
	peer_hello(socket, "owned", 8 * MiB);
	peer_expect_stop(socket, "is user root's");
	return 0;
}

Test(visit_guests, who_may_come_is_in_the_configuration)
{
	visit_peer *const peers[] = {is_unknown, wants_too_much, has_a_twin, is_somebody_else};
	struct visit visit;

	if (getuid())
		cr_skip_test("needs root, to be somebody else");
	visit_init(&visit);
	visit.config.guest_default = NULL;
	visit.config.guests = visit.sections;
	visit.config.guest_count = 2;
	strcpy(visit.sections[0].name, "known");
	strcpy(visit.sections[1].name, "owned");
	strcpy(visit.sections[1].user, "root");
	for (u32 i = 0; i < ARRAY_SIZE(peers); i++)
		visit_add(&visit, peers[i]);
	visit_start(&visit);
	cr_assert_eq(chmod(visit.folder, 0755), 0);
	for (u32 i = 0; i < ARRAY_SIZE(peers); i++)
		cr_expect_eq(visit_turn(&visit, i), 0, "peer %u", i);
	visit_stop(&visit);
}

static int cannot_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	become_nobody();
	strcpy(address.sun_path, path);
	EXPECT(connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno == EACCES);
	return 0;
}

Test(visit_guests, the_socket_has_the_permissions_it_is_given)
{
	struct visit visit;

	if (getuid())
		cr_skip_test("needs root, to be somebody else");
	visit_init(&visit);
	visit.config.attach_mode = 0600;
	visit_add(&visit, cannot_connect);
	visit_start(&visit);
	cr_assert_eq(chmod(visit.folder, 0755), 0);
	cr_expect_eq(visit_turn(&visit, 0), 0);
	visit_stop(&visit);
}

/* Two parts of the file, of which the second comes, goes, and comes back empty at another address. */
static int plugs(const char *path)
{
	const u64 part = 8 * MiB, pages = part / PAGE_SIZE;
	struct peer_guest guest;
	u8 *second;

	peer_introduce(&guest, path, "plugs", 64 * MiB);
	peer_map(&guest, part);
	guest.stage = guest.at + 6 * part;
	peer_send_memory(&guest, guest.uffd);
	EXPECT(peer_await(guest.socket, ATTACH_START, &(union attach_message){0}, (int[2]){0}));
	peer_listen(&guest);
	EXPECT(peer_plug(&guest, ATTACH_PLUG_IN, (u64)(uintptr_t)guest.stage - part + REGION_SIZE,
			 32 * MiB, part) == EEXIST);
	for (u32 turn = 0; turn < 3; turn++) {
		u64 hva;

		second = guest.at + (2 + turn) * part;
		hva = (u64)(uintptr_t)second;
		EXPECT(mmap(second, part, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, guest.ram,
			    32 * MiB) == second);
		EXPECT(!faultfd_register(guest.uffd, hva, part, false));
		EXPECT(peer_plug(&guest, ATTACH_PLUG_IN, hva, 60 * MiB, part) == EINVAL);
		EXPECT(peer_plug(&guest, ATTACH_PLUG_IN, hva, 4 * MiB, part) == EEXIST);
		EXPECT(!peer_plug(&guest, ATTACH_PLUG_IN, hva, 32 * MiB, part));
		EXPECT(peer_plug(&guest, ATTACH_PLUG_IN, hva, 48 * MiB, part) == EEXIST);
		for (u64 i = 0; i < pages; i++)
			EXPECT(!second[i * PAGE_SIZE]);
		memset(second, 0x5a, part);
		for (u64 i = 0; i < pages; i++)
			peer_write(&guest, i, turn + 1);
		EXPECT(peer_plug(&guest, ATTACH_PLUG_OUT, hva, 32 * MiB, part) == EBUSY);
		EXPECT(peer_plug(&guest, ATTACH_PLUG_OUT, hva, 32 * MiB, part / 2) == ENOENT);
		peer_discard(&guest, 32 * MiB / PAGE_SIZE, pages);
		EXPECT(!peer_plug(&guest, ATTACH_PLUG_OUT, hva, 32 * MiB, part));
		munmap(second, part);
		for (u64 i = 0; i < pages; i++)
			EXPECT(peer_check(&guest, i, turn + 1));
	}
	peer_exit(&guest);
	return 0;
}

Test(visit_guests, memory_comes_and_goes)
{
	struct guest_snapshot snapshot;
	struct visit visit;

	visit_init(&visit);
	visit_add(&visit, plugs);
	visit_start(&visit);
	cr_expect_eq(visit_turn(&visit, 0), 0);
	cr_expect(visit_guest(&visit, "plugs", GUEST_LIFE_ENDED, &snapshot));
	cr_expect_eq(snapshot.exit_code, ATTACH_EXIT_OK, "%s", snapshot.exit_text);
	visit_stop(&visit);
}

/* Discards what is just being evicted or brought back: a page is either as it was written last or zero, and
 * zero for certain once the answer came. */
static int discards_under_pressure(const char *path)
{
	const u64 pages = 64 * MiB / PAGE_SIZE;
	struct peer_guest guest;
	u64 state = 88172645463325252ULL, end;

	peer_begin(&guest, path, "discards", 64 * MiB);
	for (u64 i = 0; i < pages; i++)
		peer_write(&guest, i, 1);
	/* A turn is a few waits for other threads: on a loaded machine, fewer turns. */
	end = clock_now_ns() + 15 * NSEC_PER_SEC;
	for (u32 turn = 0; turn < 1500 && clock_now_ns() < end; turn++) {
		u64 first, count;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		first = state % (pages - 64);
		count = 1 + state / pages % 64;
		peer_discard(&guest, first, count);
		for (u64 i = first; i < first + count; i++) {
			EXPECT(peer_check(&guest, i, 0));
			peer_write(&guest, i, 1);
		}
	}
	for (u64 i = 0; i < pages; i++)
		EXPECT(peer_check(&guest, i, 1));
	peer_exit(&guest);
	return 0;
}

Test(visit_guests, what_a_vmm_discards_is_zero_and_all_else_stays)
{
	struct guest_snapshot snapshot;
	struct visit visit;

	visit_init(&visit);
	visit_add(&visit, discards_under_pressure);
	visit_start(&visit);
	cr_expect_eq(visit_turn(&visit, 0), 0);
	cr_expect(visit_guest(&visit, "discards", GUEST_LIFE_ENDED, &snapshot));
	cr_expect_gt(snapshot.balloon.freed, 0);
	cr_expect_gt(snapshot.evicted_pages, 0);
	visit_stop(&visit);
}
