/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line and a running host say to each other: AF_UNIX SOCK_SEQPACKET, one request on
 * each connection. A request is one packet of words, each ended by a NUL, the first of them the verb.
 * The answer is one packet or more, each a header and a piece of text.
 *
 *	get PATH            the value
 *	set PATH VALUE      nothing
 *	ls PATH             a name in each line
 *	tree PATH           "path<TAB>line" for every attribute below
 *	start NAME TEXT     starts the guests of a configuration; says which
 *	stop GUEST HOW      HOW is "verify" or "now"
 *
 * An answer with a status has a sentence in place of the text.
 */
#ifndef CTL_WIRE_H
#define CTL_WIRE_H

#include <stdio.h>

#include "lib/types.h"

#define WIRE_REQUEST_MAX (64 * KiB) /* of a whole request */
#define WIRE_PIECE_MAX	 (32 * KiB) /* of the text in a packet of an answer */
#define WIRE_WORDS	 3

struct wire_answer {
	u32 status; /* 0 or an errno */
	u32 more;   /* 1: another packet follows */
};

/* Sends a request of `count` words. Returns 0 or -errno; -E2BIG, it is too long. */
int wire_ask(int socket, const char *const *words, u32 count);

/* Takes a request of `length` bytes apart, in place. Returns how many words, or -EPROTO. */
int wire_split(char *request, size_t length, const char *words[WIRE_WORDS]);

/* Sends a whole answer. Returns 0 or -errno. */
int wire_answer(int socket, u32 status, const char *text, size_t length);

/* Receives a whole answer and writes its text to `out`. Returns its status, 0 or an errno; or -errno
 * when there was none: -EPROTO, something else answers there. */
int wire_receive(int socket, FILE *out);

#endif
