/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/guest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "manager/guest_state.h"
#include "manager/handler.h"
#include "manager/policy.h"
#include "manager/ramfile.h"
#include "mem/remap.h"
#include "mem/space.h"

#define EXIT_PATIENCE 2000 /* ms a VMM may take to end once it said so */
#define MEMORY_PATIENCE                                                                            \
	(30 * NSEC_PER_SEC) /* ... and one that came by itself, from HELLO to MEMORY */

const char *guest_name(const struct guest *guest)
{
	return guest->config->name;
}

void guest_set_why(struct guest *guest, const char *why)
{
	pthread_mutex_lock(&guest->why_lock);
	if (!guest->why[0])
		snprintf(guest->why, sizeof(guest->why), "%s", why);
	pthread_mutex_unlock(&guest->why_lock);
}

int guest_send_stop(struct guest *guest, bool graceful, const char *reason)
{
	union attach_message message;

	memset(&message.stop, 0, sizeof(message.stop));
	message.stop.graceful = graceful;
	snprintf(message.stop.reason, sizeof(message.stop.reason), "%s", reason);
	return attach_send(guest->socket, &message, ATTACH_STOP, sizeof(message.stop), 0, NULL, 0);
}

void guest_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Says how it ended when nothing was said before. */
static void describe_end(struct guest *guest, int status)
{
	struct guest_snapshot *last = &guest->last;
	char how[128];

	if (guest->why[0]) {
		last->exit_code = ATTACH_EXIT_STOPPED;
		snprintf(last->exit_text, sizeof(last->exit_text), "%s", guest->why);
		return;
	}
	if (guest->exit_known)
		return;
	last->exit_code = ATTACH_EXIT_VMM;
	process_describe(status, how, sizeof(how));
	snprintf(last->exit_text, sizeof(last->exit_text), "its VMM %s", how);
}

/* The end of the road, however it was reached: nothing of the guest is left but its last snapshot. */
void guest_end(struct guest *guest)
{
	int status;

	if (guest->stage == STAGE_ENDED)
		return;
	/* Nobody shall wait for an answer any more: whoever is joined here may wait for who does. */
	if (guest->space)
		space_gone(guest->space);
	guest_sample(guest, clock_now_ns());
	policy_detach(guest->host->policy, guest->index);
	handler_stop(guest->handler);
	guest->handler = NULL;
	status = process_reap(&guest->vmm, EXIT_PATIENCE);
	if (guest->started_ns)
		guest->last.run_ns = clock_now_ns() - guest->started_ns;
	guest_count_space(guest, &guest->last);
	if (guest->balloon)
		guest_balloon_snapshot(guest->balloon, &guest->last.balloon);
	guest_balloon_destroy(guest->balloon);
	guest->balloon = NULL;
	if (guest->space)
		space_end(guest->space);
	guest->space = NULL;
	guest_close_fd(&guest->socket);
	guest_close_fd(&guest->ram);
	guest->stage = STAGE_ENDED;
	guest->last.life = GUEST_LIFE_ENDED;
	guest_print_line(guest);
	describe_end(guest, status);
	if (guest->last.exit_code != ATTACH_EXIT_OK)
		log_error("guest %s: %s: %s", guest_name(guest),
			  attach_exit_name(guest->last.exit_code), guest->last.exit_text);
}

void guest_refuse(struct guest *guest, const char *format, ...)
{
	char why[ATTACH_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	guest_set_why(guest, why);
	/* A child dies of it; who came by itself shall know, and may have more than this guest. */
	if (guest->vmm.guest)
		guest_send_stop(guest, false, why);
	if (!guest->vmm.guest || guest->stage == STAGE_RUNNING)
		process_kill(&guest->vmm);
	guest_end(guest);
}

/* A guest that is listed and has no VMM yet. `place`: NULL, or its number in the policy, for one whose guest
 * has ended. NULL when there is no memory. */
static struct guest *create_guest(const struct guest_host *host, const struct guest_config *config,
				  const u32 *place)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int result;

	if (!guest)
		return NULL;
	if (place)
		policy_replace(host->policy, *place, config);
	result = place ? (int)*place : policy_add(host->policy, config);
	if (result < 0) {
		free(guest);
		return NULL;
	}
	guest->index = (u32)result;
	guest->client.ops = &guest_space_ops;
	guest->host = host;
	guest->config = config;
	guest->socket = -1;
	guest->vmm = (struct process){.pid = -1, .pidfd = -1};
	guest->ram = -1;
	guest->last.memory_bytes = config->memory_bytes;
	snprintf(guest->last.name, sizeof(guest->last.name), "%s", config->name);
	guest->last.vcpus = config->vcpus;
	guest->last.node = config->node;
	guest->last.has_balloon = config->balloon;
	snprintf(guest->last.salt, sizeof(guest->last.salt), "%s", config->salt);
	snprintf(guest->last.workload, sizeof(guest->last.workload), "%s", config->workload);
	pthread_mutex_init(&guest->why_lock, NULL);
	return guest;
}

/* Whether it may run, and its RAM file. False when it was refused. */
static bool admit(struct guest *guest)
{
	const struct guest_host *host = guest->host;
	u64 bytes = guest->config->memory_bytes;
	char why[ATTACH_TEXT_MAX];
	bool huge = false;

	if (policy_admit(host->policy, guest->index, why, sizeof(why))) {
		guest_refuse(guest, "%s", why);
		return false;
	}
	guest->ram = ramfile_create(bytes, host->memory->huge_pages, &huge);
	if (guest->ram < 0)
		guest_refuse(guest, "no RAM file of %lu MiB: %s", bytes / MiB,
			     strerror(-guest->ram));
	return guest->ram >= 0;
}

struct guest *guest_start(const struct guest_host *host, const struct guest_config *config)
{
	struct guest *guest = create_guest(host, config, NULL);
	int result;

	if (!guest || !admit(guest))
		return guest;
	result = process_start(&guest->vmm, &guest->socket);
	guest->last.pid = guest->vmm.pid;
	if (result)
		guest_refuse(guest, "its VMM cannot be started: %s", strerror(-result));
	return guest;
}

struct guest *guest_accept(const struct guest_host *host, const struct guest_config *config,
			   const u32 *place, const struct guest_visit *visit)
{
	struct guest *guest = create_guest(host, config, place);

	if (!guest)
		return NULL;
	guest->vmm = visit->process;
	guest->socket = visit->socket;
	guest->last.pid = guest->vmm.pid;
	guest->last.workload[0] = '\0';
	guest->hurry_ns = clock_now_ns() + MEMORY_PATIENCE;
	if (admit(guest))
		guest_answer_hello(guest, visit->hello);
	return guest;
}

bool guest_came(const struct guest *guest)
{
	return guest->hello_flags & ATTACH_HELLO_BRINGS;
}

int guest_socket(const struct guest *guest)
{
	return guest->socket;
}

u64 guest_memory_bytes(const struct guest *guest)
{
	return guest->last.memory_bytes;
}

bool guest_running(const struct guest *guest)
{
	return guest->stage != STAGE_ENDED;
}

bool guest_filled(const struct guest *guest)
{
	const char *phase = guest->last.phase;

	return !guest_running(guest) || guest_came(guest) ||
	       (*phase && strcmp(phase, "boot") && strcmp(phase, "fill"));
}

void guest_begin(struct guest *guest)
{
	union attach_message message;

	if (guest->begun || !guest_running(guest) || strcmp(guest->last.phase, "wait") != 0)
		return;
	guest->begun = !attach_send(guest->socket, &message, ATTACH_BEGIN, sizeof(message.header),
				    0, NULL, 0);
}

void guest_stop(struct guest *guest, bool graceful, const char *reason)
{
	if (!guest_running(guest))
		return;
	if (!graceful && !guest->kill_ns)
		guest->kill_ns = clock_now_ns() + STOP_PATIENCE;
	if (guest_send_stop(guest, graceful, reason) && !graceful)
		guest->kill_ns = 1;
}

void guest_tick(struct guest *guest)
{
	u64 now = clock_now_ns();

	if (guest->balloon)
		guest_balloon_tick(guest->balloon, now);
	if (guest->hurry_ns && guest->stage == STAGE_MEMORY && now >= guest->hurry_ns) {
		guest_refuse(guest, "its VMM did not hand its memory over in time");
		return;
	}
	if (guest->space && guest_running(guest) && remap_is_stuck(guest->space, now)) {
		guest_refuse(guest, "its VMM did not map what it said it had");
		return;
	}
	if (!guest_running(guest) || !guest->kill_ns || now < guest->kill_ns)
		return;
	guest_refuse(guest, "its VMM did not end when told to, and was killed");
}

int guest_set_balloon(struct guest *guest, u64 target_bytes)
{
	if (!guest->balloon)
		return -ENODEV;
	return guest_balloon_order(guest->balloon, target_bytes, BALLOON_STATS_MS);
}

bool guest_get_balloon(const struct guest *guest, struct balloon_snapshot *snapshot)
{
	if (guest->balloon)
		guest_balloon_snapshot(guest->balloon, snapshot);
	return guest->balloon;
}

void guest_ask_free(struct guest *guest)
{
	if (guest->balloon)
		guest_balloon_ask_free(guest->balloon);
}

struct space *guest_get_space(struct guest *guest)
{
	return guest->space ? memory_get_space(guest->host->memory, guest->space->id) : NULL;
}

void guest_destroy(struct guest *guest)
{
	if (guest_running(guest))
		guest_refuse(guest, "the manager ended");
	pthread_mutex_destroy(&guest->why_lock);
	free(guest);
}
