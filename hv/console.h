/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console: what it writes waits in a small buffer until the control thread takes it to
 * the manager. A guest that writes faster than anybody reads loses text, and the loss is said; it
 * never waits and never makes us grow.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include <pthread.h>

#include "lib/types.h"

#define CONSOLE_BYTES 4096

struct console {
	pthread_mutex_t lock; /* guards all below; a leaf */
	u32 used;
	u64 lost;
	char text[CONSOLE_BYTES];
};

void console_init(struct console *console);

/* Appends text from any thread. Control characters become '?', lest a guest command the terminal of
 * whoever watches. Returns true when there is something worth fetching: a whole line, or much. */
bool console_put(struct console *console, const char *text, u32 length);

/* Takes the oldest text, at most `size` bytes, and returns how many there were. */
u32 console_take(struct console *console, char *text, u32 size);

#endif
