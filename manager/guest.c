/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "manager/balloon.h"
#include "manager/data.h"
#include "manager/handler.h"
#include "manager/kernel.h"
#include "manager/policy.h"
#include "manager/process.h"
#include "manager/ramfile.h"
#include "mem/space.h"

#define EXIT_PATIENCE	 2000		    /* ms a VMM may take to end once it said so */
#define BALLOON_STATS_MS 1000		    /* between two questions how a guest is */
#define STOP_PATIENCE	 (5 * NSEC_PER_SEC) /* ... and once it was told to end at once */

/* Which message comes next. */
enum stage { STAGE_HELLO, STAGE_MEMORY, STAGE_RUNNING, STAGE_ENDED };

struct guest {
	struct space_client client;
	const struct guest_host *host;
	const struct guest_config *config;
	enum stage stage;
	int socket;
	struct process vmm;
	int ram; /* until the space has it */
	u32 hello_flags;
	struct space *space;
	struct handler *handler;
	struct guest_balloon *balloon; /* NULL: none, or not running */
	u64 started_ns;
	_Atomic u64 kill_ns; /* when a VMM told to end at once is killed; 0: not told */
	bool exit_known;
	u32 index; /* in the policy */
	struct pressure_average pressure;
	char line[ATTACH_TEXT_MAX]; /* of its console, unfinished */
	u32 line_used;
	struct guest_snapshot last; /* statistics of the guest; all of it once ended */
	pthread_mutex_t why_lock;   /* guards why */
	char why[ATTACH_TEXT_MAX];  /* why the manager ended it; "" it did not */
};

const char *guest_name(const struct guest *guest)
{
	return guest->config->name;
}

static void set_why(struct guest *guest, const char *why)
{
	pthread_mutex_lock(&guest->why_lock);
	if (!guest->why[0])
		snprintf(guest->why, sizeof(guest->why), "%s", why);
	pthread_mutex_unlock(&guest->why_lock);
}

static int send_stop(struct guest *guest, bool graceful, const char *reason)
{
	union attach_message message;

	memset(&message.stop, 0, sizeof(message.stop));
	message.stop.graceful = graceful;
	snprintf(message.stop.reason, sizeof(message.stop.reason), "%s", reason);
	return attach_send(guest->socket, &message, ATTACH_STOP, sizeof(message.stop), 0, NULL, 0);
}

static struct guest *guest_of(struct space_client *client)
{
	return container_of(client, struct guest, client);
}

static int guest_zap(struct space_client *client, const struct space_range *ranges, u32 count)
{
	struct guest *guest = guest_of(client);
	union attach_message message;
	struct attach_zap *zap = &message.zap;

	zap->count = MIN(count, ATTACH_MAX_RANGES);
	zap->reserved = 0;
	for (u32 i = 0; i < zap->count; i++)
		zap->ranges[i] = (struct attach_range){ranges[i].file_offset, ranges[i].length};
	return attach_send(
		guest->socket, &message, ATTACH_ZAP,
		(u32)(offsetof(struct attach_zap, ranges) + zap->count * sizeof(zap->ranges[0])), 1,
		NULL, 0);
}

/* The thread that serves will see the VMM end; here it is only told to. */
static void guest_failed(struct space_client *client, const char *why)
{
	struct guest *guest = guest_of(client);

	set_why(guest, why);
	atomic_store(&guest->kill_ns, clock_now_ns() + STOP_PATIENCE);
	if (send_stop(guest, false, why))
		process_kill(&guest->vmm);
}

static const struct space_client_ops client_ops = {.zap = guest_zap, .failed = guest_failed};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What the guest has printed since it began its line. */
static void print_line(struct guest *guest)
{
	guest->line[guest->line_used] = 0;
	if (guest->line_used)
		log_info("guest %s says: %s", guest_name(guest), guest->line);
	guest->line_used = 0;
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

static void count_space(const struct guest *guest, struct guest_snapshot *snapshot)
{
	struct space *space = guest->space;

	if (!space)
		return;
	pressure_show(&guest->pressure, &snapshot->pressure);
	snapshot->faults_removed = atomic_load(&space->counters.removed);
	snapshot->metadata_bytes = space->metadata_bytes;
	snapshot->stall_ns = atomic_load(&space->counters.stall_ns);
	snapshot->faults_missing = atomic_load(&space->counters.missing);
	snapshot->faults_minor = atomic_load(&space->counters.minor);
	snapshot->faults_wp = atomic_load(&space->counters.wp);
	snapshot->evicted_pages = atomic_load(&space->counters.evicted);
	snapshot->refaulted_pages = atomic_load(&space->counters.refaulted);
	snapshot->huge_bytes = atomic_load(&space->counters.whole_regions) * REGION_SIZE;
	for (u32 i = 0; i < PAGE_STATES; i++)
		snapshot->pages[i] = page_table_count(&space->table, (enum page_state)i);
	pthread_mutex_lock(&space->hist_lock);
	memcpy(snapshot->fault_latency, space->fault_latency, sizeof(space->fault_latency));
	pthread_mutex_unlock(&space->hist_lock);
}

/* The end of the road, however it was reached: nothing of the guest is left but its last snapshot. */
static void guest_end(struct guest *guest)
{
	int status;

	if (guest->stage == STAGE_ENDED)
		return;
	guest_sample(guest, clock_now_ns());
	policy_detach(guest->host->policy, guest->index);
	handler_stop(guest->handler);
	guest->handler = NULL;
	status = process_reap(&guest->vmm, EXIT_PATIENCE);
	if (guest->started_ns)
		guest->last.run_ns = clock_now_ns() - guest->started_ns;
	count_space(guest, &guest->last);
	if (guest->balloon)
		guest_balloon_snapshot(guest->balloon, &guest->last.balloon);
	guest_balloon_destroy(guest->balloon);
	guest->balloon = NULL;
	if (guest->space)
		space_end(guest->space);
	guest->space = NULL;
	close_fd(&guest->socket);
	close_fd(&guest->ram);
	guest->stage = STAGE_ENDED;
	guest->last.life = GUEST_LIFE_ENDED;
	print_line(guest);
	describe_end(guest, status);
	if (guest->last.exit_code != ATTACH_EXIT_OK)
		log_error("guest %s: %s: %s", guest_name(guest),
			  attach_exit_name(guest->last.exit_code), guest->last.exit_text);
}

static void __attribute__((format(printf, 2, 3)))
guest_refuse(struct guest *guest, const char *format, ...)
{
	char why[ATTACH_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	set_why(guest, why);
	process_kill(&guest->vmm);
	guest_end(guest);
}

struct guest *guest_start(const struct guest_host *host, const struct guest_config *config)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	char why[ATTACH_TEXT_MAX];
	bool huge = false;
	int result;

	if (!guest)
		return NULL;
	result = policy_add(host->policy, config);
	if (result < 0) {
		free(guest);
		return NULL;
	}
	guest->index = (u32)result;
	guest->client.ops = &client_ops;
	guest->host = host;
	guest->config = config;
	guest->socket = -1;
	guest->vmm = (struct process){.pid = -1, .pidfd = -1};
	guest->last.memory_bytes = config->memory_bytes;
	snprintf(guest->last.name, sizeof(guest->last.name), "%s", config->name);
	guest->last.vcpus = config->vcpus;
	guest->last.node = config->node;
	snprintf(guest->last.workload, sizeof(guest->last.workload), "%s", config->workload);
	pthread_mutex_init(&guest->why_lock, NULL);

	if (policy_admit(host->policy, guest->index, why, sizeof(why))) {
		guest_refuse(guest, "%s", why);
		return guest;
	}
	guest->ram = ramfile_create(config->memory_bytes, host->memory->huge_pages, &huge);
	if (guest->ram < 0) {
		guest_refuse(guest, "no RAM file of %lu MiB: %s", config->memory_bytes / MiB,
			     strerror(-guest->ram));
		return guest;
	}
	result = process_start(&guest->vmm, &guest->socket);
	guest->last.pid = guest->vmm.pid;
	if (result)
		guest_refuse(guest, "its VMM cannot be started: %s", strerror(-result));
	return guest;
}

/* The file that goes with what it is to run. Returns 0 and the descriptor, -1 if there is none. */
static int open_data(struct guest *guest, int *fd, bool *ours, u64 *bytes)
{
	const struct guest_config *config = guest->config;

	*fd = -1;
	*ours = config->kernel[0];
	if (config->kernel[0])
		return kernel_open(config->kernel, fd, bytes);
	return config->data[0] ? data_cache_get(guest->host->data, config->data, fd, bytes) : 0;
}

/* HELLO: tell it what to run. */
static void answer_hello(struct guest *guest, const struct attach_hello *hello)
{
	const struct guest_config *config = guest->config;
	union attach_message message;
	struct attach_guest *order = &message.guest;
	int fds[2] = {guest->ram, -1};
	bool ours;
	int result;

	guest->hello_flags = hello->flags;
	memset(order, 0, sizeof(*order));
	order->ram_bytes = config->memory_bytes;
	order->seed = config->seed;
	order->vcpus = config->vcpus;
	order->accel = guest->host->config->accel;
	order->devices = config->balloon ? ATTACH_DEVICE_BALLOON : 0;
	snprintf(order->name, sizeof(order->name), "%s", config->name);
	snprintf(order->workload, sizeof(order->workload), "%s", config->workload);
	snprintf(order->args, sizeof(order->args), "%s", config->args);
	result = open_data(guest, &fds[1], &ours, &order->data_bytes);
	if (!result)
		result = attach_send(guest->socket, &message, ATTACH_GUEST, sizeof(*order), 0, fds,
				     fds[1] < 0 ? 1 : 2);
	if (ours)
		close_fd(&fds[1]);
	if (result) {
		guest_refuse(guest, "it cannot be told what to run: %s", strerror(-result));
		return;
	}
	guest->stage = STAGE_MEMORY;
}

/* The VMM's page tables, for idle sampling. */
static int open_pagemap(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int begin_space(struct guest *guest, const struct attach_memory *memory, int uffd)
{
	const struct guest_config *config = guest->config;
	struct space_options options = {
		.name = config->name,
		.client = &guest->client,
		.ram = guest->ram,
		.uffd = uffd,
		.pagemap = open_pagemap(guest->vmm.pid),
		.pidfd = fcntl(guest->vmm.pidfd, F_DUPFD_CLOEXEC, 0),
		.bytes = config->memory_bytes,
		.node = (u32)MAX(config->node, 0),
		.bind = config->node >= 0,
		.salt = host_config_salt(guest->host->config, config),
		.removes = guest->hello_flags & ATTACH_HELLO_REMOVES,
		.threads = config->vcpus,
		.mappings = memory->count,
	};

	guest->ram = -1;
	for (u32 i = 0; i < memory->count; i++)
		options.mapping[i] = (struct space_mapping){
			.hva = memory->regions[i].hva,
			.file_offset = memory->regions[i].file_offset,
			.length = memory->regions[i].length,
		};
	return space_begin(guest->host->memory, &options, &guest->space);
}

/* All of the RAM file must be mapped, and nothing beyond it. */
static bool covers_ram(const struct attach_memory *memory, u64 bytes)
{
	u64 sum = 0;

	for (u32 i = 0; i < memory->count; i++) {
		const struct attach_region *region = &memory->regions[i];

		if (region->file_offset > bytes || region->length > bytes - region->file_offset)
			return false;
		sum += region->length;
	}
	return sum == bytes;
}

/* It is told at once what its balloon should be. */
static int begin_balloon(struct guest *guest)
{
	if (!guest->config->balloon)
		return 0;
	guest->balloon = guest_balloon_create(guest->space, guest->socket);
	if (!guest->balloon)
		return -ENOMEM;
	return guest_balloon_order(guest->balloon, guest->config->balloon_target, BALLOON_STATS_MS);
}

/* MEMORY: take it over, and let the guest run. */
static void answer_memory(struct guest *guest, const struct attach_memory *memory, int uffd)
{
	union attach_message message;
	int result;

	if (!covers_ram(memory, guest->config->memory_bytes)) {
		close(uffd);
		guest_refuse(guest, "its VMM mapped regions that are not its RAM");
		return;
	}
	guest->last.accel = memory->accel;
	result = fcntl(uffd, F_SETFL, O_NONBLOCK) ? -errno : begin_space(guest, memory, uffd);
	if (!result)
		policy_attach(guest->host->policy, guest->index, guest->space);
	if (!result)
		result = handler_start(guest->space, guest->host->config->fault_poll_us,
				       &guest->handler);
	if (!result)
		result = attach_send(guest->socket, &message, ATTACH_START, sizeof(message.header),
				     0, NULL, 0);
	if (!result)
		result = begin_balloon(guest);
	if (result) {
		guest_refuse(guest, "its memory cannot be served: %s", strerror(-result));
		return;
	}
	guest->started_ns = clock_now_ns();
	guest->stage = STAGE_RUNNING;
	guest->last.life = GUEST_LIFE_RUNNING;
}

static void take_stats(struct guest *guest, const struct attach_stats *stats)
{
	struct guest_snapshot *last = &guest->last;

	last->ops = stats->ops;
	last->pages_verified = stats->pages_verified;
	last->verify_failures = stats->verify_failures;
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
			print_line(guest);
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
	case ATTACH_STATS:
	case ATTACH_CONSOLE:
		return guest->stage == STAGE_RUNNING;
	case ATTACH_DROP:
	case ATTACH_BALLOON_STATS:
		return guest->balloon;
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
		answer_hello(guest, &message->hello);
		break;
	case ATTACH_MEMORY:
		answer_memory(guest, &message->memory, fds[0]);
		break;
	case ATTACH_ZAPPED:
		space_zapped(guest->space);
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

void guest_stop(struct guest *guest, bool graceful, const char *reason)
{
	if (!guest_running(guest))
		return;
	if (!graceful && !guest->kill_ns)
		guest->kill_ns = clock_now_ns() + STOP_PATIENCE;
	if (send_stop(guest, graceful, reason) && !graceful)
		guest->kill_ns = 1;
}

void guest_tick(struct guest *guest)
{
	u64 now = clock_now_ns();

	if (guest->balloon)
		guest_balloon_tick(guest->balloon, now);
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

void guest_snapshot(const struct guest *guest, struct guest_snapshot *snapshot)
{
	*snapshot = guest->last;
	if (!guest_running(guest))
		return;
	if (guest->started_ns)
		snapshot->run_ns = clock_now_ns() - guest->started_ns;
	if (guest->balloon)
		guest_balloon_snapshot(guest->balloon, &snapshot->balloon);
	count_space(guest, snapshot);
}

void pressure_show(const struct pressure_average *average, struct pressure_snapshot *to)
{
	to->some_ns = average->some_ns;
	to->full_ns = average->full_ns;
	memcpy(to->some, average->some, sizeof(to->some));
	memcpy(to->full, average->full, sizeof(to->full));
}

void guest_sample(struct guest *guest, u64 now_ns)
{
	if (guest->space)
		pressure_sample(&guest->space->pressure, &guest->pressure, now_ns);
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
