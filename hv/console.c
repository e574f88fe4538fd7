/* SPDX-License-Identifier: Apache-2.0 */
/* The console's buffer. */
#include "hv/console.h"

#include <stdio.h>
#include <string.h>

/* Kept free for the line that tells of lost text. */
#define CONSOLE_NOTICE 64

void console_init(struct console *console)
{
	*console = (struct console){};
	pthread_mutex_init(&console->lock, NULL);
}

static char console_clean(char c)
{
	return c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f) ? c : '?';
}

bool console_put(struct console *console, const char *text, u32 length)
{
	bool ready = false;

	pthread_mutex_lock(&console->lock);
	for (u32 i = 0; i < length; i++) {
		if (console->used >= CONSOLE_BYTES - CONSOLE_NOTICE) {
			console->lost += length - i;
			ready = true;
			break;
		}
		console->text[console->used++] = console_clean(text[i]);
		ready |= text[i] == '\n';
	}
	ready |= console->used > CONSOLE_BYTES / 4;
	pthread_mutex_unlock(&console->lock);
	return ready;
}

/* Says, where it happened, that text is missing. */
static void console_note_loss(struct console *console)
{
	console->used += (u32)snprintf(console->text + console->used, CONSOLE_NOTICE,
				       "\n[%llu bytes of console text lost]\n",
				       (unsigned long long)console->lost);
	console->lost = 0;
}

u32 console_take(struct console *console, char *text, u32 size)
{
	u32 length;

	pthread_mutex_lock(&console->lock);
	if (console->lost && console->used <= CONSOLE_BYTES - CONSOLE_NOTICE)
		console_note_loss(console);
	length = MIN(console->used, size);
	memcpy(text, console->text, length);
	console->used -= length;
	memmove(console->text, console->text + length, console->used);
	pthread_mutex_unlock(&console->lock);
	return length;
}
