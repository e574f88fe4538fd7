/* SPDX-License-Identifier: Apache-2.0 */
/* Messages over a real socket: what arrives, what is refused, and that no descriptor ever leaks. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/unit/attach_valid.h"

static union attach_message out, in;
static int ends[2];
static int files[ATTACH_MAX_FDS + 2];

static void connect_ends(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	for (u32 i = 0; i < ARRAY_SIZE(files); i++)
		cr_assert_geq(files[i] = memfd_create("file", MFD_CLOEXEC), 0);
}

static u32 count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	u32 count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Sends bytes as they are, past all that attach_send() would see to. */
static void send_raw(const void *bytes, size_t length, u32 nfds)
{
	char control[CMSG_SPACE(sizeof(files))] = {0};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		struct cmsghdr *cmsg = (struct cmsghdr *)control;

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), files, nfds * sizeof(int));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	cr_assert_eq(sendmsg(ends[0], &msg, 0), (ssize_t)length);
}

static void expect_refusal(void)
{
	int fds[ATTACH_MAX_FDS];
	u32 nfds, before = count_fds();
	const char *why;

	cr_expect_eq(attach_receive(ends[1], &in, fds, &nfds, &why), -EPROTO);
	cr_expect_not_null(why);
	cr_expect_eq(nfds, 0);
	cr_expect_eq(count_fds(), before);
}

Test(attach_socket, every_type_arrives_as_it_was_sent, .init = connect_ends)
{
	for (enum attach_type type = ATTACH_HELLO; type < ATTACH_TYPES; type++) {
		struct attach_shape shape = valid_shape(type);
		int fds[ATTACH_MAX_FDS];
		const char *why;
		u32 nfds;

		valid_body(&out, type);
		cr_assert_eq(attach_send(ends[0], &out, type, shape.length, 9, files, shape.nfds),
			     0);
		memset(&in, 0xaa, sizeof(in));
		cr_assert_eq(attach_receive(ends[1], &in, fds, &nfds, &why), 0, "%s", why);
		cr_expect_arr_eq(&in, &out, shape.length, "%s", attach_type_name(type));
		cr_expect_eq(in.header.serial, 9);
		cr_expect_eq(in.bytes[shape.length], 0, "the rest reads as zero");
		cr_assert_eq(nfds, shape.nfds);
		for (u32 i = 0; i < nfds; i++) {
			cr_expect_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
			close(fds[i]);
		}
	}
}

Test(attach_socket, a_refused_message_leaves_no_descriptor, .init = connect_ends)
{
	struct attach_shape shape = valid_message(&out, ATTACH_MEMORY);

	out.memory.count = 0;
	send_raw(&out, shape.length, 1);
	expect_refusal();
	send_raw(&out, shape.length, 2);
	expect_refusal();
	send_raw("", 0, 1);
	expect_refusal();
}

Test(attach_socket, more_descriptors_than_any_message_has_are_refused, .init = connect_ends)
{
	struct attach_shape shape = valid_message(&out, ATTACH_GUEST);

	send_raw(&out, shape.length, ATTACH_MAX_FDS + 1);
	expect_refusal();
	send_raw(&out, shape.length, ATTACH_MAX_FDS + 2);
	expect_refusal();
}

Test(attach_socket, a_packet_longer_than_any_message_is_refused, .init = connect_ends)
{
	char *large = calloc(1, 2 * ATTACH_MAX_MESSAGE);

	valid_message(&out, ATTACH_CONSOLE);
	memcpy(large, &out, sizeof(out));
	send_raw(large, 2 * ATTACH_MAX_MESSAGE, 2);
	expect_refusal();
	free(large);
}

Test(attach_socket, a_closed_connection_is_epipe_and_no_signal, .init = connect_ends)
{
	int fds[ATTACH_MAX_FDS];
	const char *why;
	u32 nfds;

	close(ends[0]);
	cr_expect_eq(attach_receive(ends[1], &in, fds, &nfds, &why), -EPIPE);
	cr_expect_eq(attach_send(ends[1], &out, ATTACH_START, sizeof(out.header), 0, NULL, 0),
		     -EPIPE);
}

Test(attach_socket, a_nonblocking_socket_never_blocks, .init = connect_ends)
{
	int fds[ATTACH_MAX_FDS], ret;
	const char *why;
	u32 nfds;

	for (u32 i = 0; i < 2; i++)
		cr_assert_eq(fcntl(ends[i], F_SETFL, O_NONBLOCK), 0);
	cr_expect_eq(attach_receive(ends[1], &in, fds, &nfds, &why), -EAGAIN);
	do
		ret = attach_send(ends[0], &out, ATTACH_ZAP, sizeof(out.zap), 0, NULL, 0);
	while (!ret);
	cr_expect_eq(ret, -EAGAIN);
}

/* As when a VMM ends while the manager asks it for something. */
Test(attach_socket, last_words_arrive_although_the_peer_left_ours_unread, .init = connect_ends)
{
	int fds[ATTACH_MAX_FDS];
	const char *why;
	u32 nfds;

	send_raw(&out, valid_message(&out, ATTACH_ZAP).length, 0);
	cr_assert_eq(attach_send(ends[1], &out, ATTACH_START, sizeof(out.header), 0, NULL, 0), 0);
	close(ends[1]);
	cr_expect_eq(attach_receive(ends[0], &in, fds, &nfds, &why), 0);
	cr_expect_eq(in.header.type, ATTACH_START);
	cr_expect_eq(attach_receive(ends[0], &in, fds, &nfds, &why), -EPIPE);
}

Test(attach_socket, the_sender_is_held_to_sizes_too, .init = connect_ends)
{
	cr_expect_eq(attach_send(ends[0], &out, ATTACH_START, 4, 0, NULL, 0), -EINVAL);
	cr_expect_eq(attach_send(ends[0], &out, ATTACH_START, sizeof(out) + 1, 0, NULL, 0),
		     -EINVAL);
	cr_expect_eq(attach_send(ends[0], &out, ATTACH_START, sizeof(out.header), 0, files,
				 ATTACH_MAX_FDS + 1),
		     -EINVAL);
}

/* Valid messages with some random bytes, random lengths and numbers of descriptors. */
Test(attach_socket, random_damage_neither_crashes_nor_leaks, .init = connect_ends, .timeout = 60)
{
	u32 before = count_fds(), accepted = 0;

	srand(1);
	for (u32 round = 0; round < 20000; round++) {
		enum attach_type type = ATTACH_HELLO + (u32)rand() % (ATTACH_TYPES - 1);
		struct attach_shape shape = valid_message(&out, type);
		int fds[ATTACH_MAX_FDS];
		const char *why;
		u32 nfds;

		for (u32 i = (u32)rand() % 4; i; i--)
			out.bytes[(u32)rand() % shape.length] = (u8)rand();
		if (rand() % 8 == 0)
			shape.length = (u32)rand() % sizeof(out);
		if (rand() % 8 == 0)
			shape.nfds = (u32)rand() % ARRAY_SIZE(files);
		send_raw(&out, shape.length, shape.nfds);
		if (attach_receive(ends[1], &in, fds, &nfds, &why))
			continue;
		accepted++;
		for (u32 i = 0; i < nfds; i++)
			close(fds[i]);
	}
	cr_expect_eq(count_fds(), before);
	cr_expect_gt(accepted, 0);
}
