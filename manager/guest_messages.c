/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's VMM says, and whether it may. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/log.h"
#include "manager/guest_state.h"
#include "mem/space.h"

/* What the guest has printed since it began its line. */
void guest_print_line(struct guest *guest)
{
	guest->line[guest->line_used] = 0;
	if (guest->line_used)
		log_info("guest %s says: %s", guest_name(guest), guest->line);
	guest->line_used = 0;
}

static void take_stats(struct guest *guest, const struct attach_stats *stats)
{
	struct guest_snapshot *last = &guest->last;

	last->ops = stats->ops;
	last->pages_verified = stats->pages_verified;
	last->verify_failures = stats->verify_failures;
	last->worked_ns = stats->run_ns;
	last->progress = MIN(stats->progress, 1000UL);
	last->latency = stats->latency;
	snprintf(last->phase, sizeof(last->phase), "%s", stats->phase);
}

/* Passes on what a guest prints, a line at a time, without what could disturb a terminal. A line may
 * come in pieces: one that does not end is kept, and printed when it is full. */
static void print_console(struct guest *guest, const struct attach_console *console)
{
	u32 length = console->header.length - (u32)offsetof(struct attach_console, text);

	for (u32 i = 0; i < length; i++) {
		char c = console->text[i];

		if (c != '\n')
			guest->line[guest->line_used++] = c >= ' ' && c < 127 ? c : '?';
		if (c == '\n' || guest->line_used == sizeof(guest->line) - 1)
			guest_print_line(guest);
	}
}

static void take_exit(struct guest *guest, const struct attach_exit *exit)
{
	guest->exit_known = true;
	guest->last.exit_code = exit->code;
	snprintf(guest->last.exit_text, sizeof(guest->last.exit_text), "%s", exit->text);
	guest_end(guest);
}

static void take_drop(struct guest *guest, const struct attach_drop *drop)
{
	const char *why;

	if (guest_balloon_drop(guest->balloon, drop, &why))
		guest_refuse(guest, "its VMM broke the attach protocol: %s", why);
}

/* Which messages a VMM may send, by stage. */
static bool in_turn(const struct guest *guest, u32 type)
{
	switch (type) {
	case ATTACH_HELLO:
		return guest->stage == STAGE_HELLO;
	case ATTACH_MEMORY:
		return guest->stage == STAGE_MEMORY;
	case ATTACH_ZAPPED:
	case ATTACH_REMAPPED:
	case ATTACH_STATS:
	case ATTACH_CONSOLE:
		return guest->stage == STAGE_RUNNING;
	case ATTACH_DROP:
	case ATTACH_BALLOON_STATS:
		return guest->balloon;
	case ATTACH_PLUG:
		return guest->stage == STAGE_RUNNING && guest_came(guest);
	case ATTACH_EXIT:
		return true;
	default:
		return false;
	}
}

static void dispatch(struct guest *guest, const union attach_message *message, const int *fds)
{
	switch (message->header.type) {
	case ATTACH_HELLO:
		guest_answer_hello(guest, &message->hello);
		break;
	case ATTACH_MEMORY:
		guest_answer_memory(guest, &message->memory, fds[0]);
		break;
	case ATTACH_ZAPPED:
		space_zapped(guest->space);
		break;
	case ATTACH_REMAPPED:
		space_remapped(guest->space);
		break;
	case ATTACH_STATS:
		take_stats(guest, &message->stats);
		break;
	case ATTACH_CONSOLE:
		print_console(guest, &message->console);
		break;
	case ATTACH_DROP:
		take_drop(guest, &message->drop);
		break;
	case ATTACH_BALLOON_STATS:
		guest_balloon_take_stats(guest->balloon, &message->balloon_stats);
		break;
	case ATTACH_PLUG:
		guest_answer_plug(guest, &message->plug);
		break;
	case ATTACH_EXIT:
		take_exit(guest, &message->exit);
		break;
	}
}

void guest_receive(struct guest *guest)
{
	union attach_message message;
	int fds[ATTACH_MAX_FDS];
	const char *why = "";
	u32 nfds = 0;
	int result = attach_receive(guest->socket, &message, fds, &nfds, &why);

	if (result == -EAGAIN || result == -EINTR)
		return;
	if (result == -EPROTO) {
		guest_refuse(guest, "its VMM broke the attach protocol: %s", why);
		return;
	}
	if (result) {
		guest_end(guest);
		return;
	}
	if (!in_turn(guest, message.header.type)) {
		for (u32 i = 0; i < nfds; i++)
			close(fds[i]);
		guest_refuse(guest, "its VMM broke the attach protocol: %s out of turn",
			     attach_type_name(message.header.type));
		return;
	}
	dispatch(guest, &message, fds);
}
