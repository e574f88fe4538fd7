/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int wire_ask(int socket, const char *const *words, u32 count)
{
	char *request = malloc(WIRE_REQUEST_MAX);
	size_t used = 0;
	int ret = 0;

	if (!request)
		return -ENOMEM;
	for (u32 i = 0; i < count && !ret; i++) {
		size_t length = strlen(words[i]) + 1;

		if (length > WIRE_REQUEST_MAX - used) {
			ret = -E2BIG;
			break;
		}
		memcpy(request + used, words[i], length);
		used += length;
	}
	/* A signal that is no reason to stop: the terminal's new size, an interrupt that is looked at later. */
	while (!ret && send(socket, request, used, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			ret = -errno;
	free(request);
	return ret;
}

int wire_split(char *request, size_t length, const char *words[WIRE_WORDS])
{
	int count = 0;

	if (!length || request[length - 1])
		return -EPROTO;
	for (size_t at = 0; at < length; at += strlen(request + at) + 1) {
		if (count == WIRE_WORDS)
			return -EPROTO;
		words[count++] = request + at;
	}
	return count;
}

int wire_answer(int socket, u32 status, const char *text, size_t length)
{
	do {
		size_t piece = MIN(length, WIRE_PIECE_MAX);
		struct wire_answer head = {.status = status, .more = length > piece};
		struct iovec parts[] = {
			{&head, sizeof(head)},
			{(char *)text, piece},
		};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};

		while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
			if (errno != EINTR)
				return -errno;
		text += piece;
		length -= piece;
	} while (length);
	return 0;
}

int wire_receive(int socket, FILE *out)
{
	char *packet = malloc(sizeof(struct wire_answer) + WIRE_PIECE_MAX);
	struct wire_answer head = {.more = 1};
	int ret = packet ? 0 : -ENOMEM;

	while (!ret && head.more) {
		ssize_t got = recv(socket, packet, sizeof(head) + WIRE_PIECE_MAX, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < (ssize_t)sizeof(head)) {
			ret = got < 0 ? -errno : -EPROTO;
			break;
		}
		memcpy(&head, packet, sizeof(head));
		fwrite(packet + sizeof(head), 1, (size_t)got - sizeof(head), out);
	}
	free(packet);
	return ret ? ret : (int)head.status;
}
