/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest's memory comes to the manager: HELLO, GUEST, MEMORY, START. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "ksm/ksm.h"
#include "lib/clock.h"
#include "manager/data.h"
#include "manager/guest_state.h"
#include "manager/handler.h"
#include "manager/kernel.h"
#include "manager/policy.h"
#include "manager/salts.h"
#include "mem/space.h"

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
void guest_answer_hello(struct guest *guest, const struct attach_hello *hello)
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
		guest_close_fd(&fds[1]);
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

u32 guest_domain(const struct guest *guest, enum host_salting salting, const char *salt)
{
	return salts_domain(guest->host->salts, salting, salt ? salt : guest->last.salt,
			    guest->index);
}

void guest_set_salt(struct guest *guest, const char *salt)
{
	snprintf(guest->last.salt, sizeof(guest->last.salt), "%s", salt);
}

/* As salts and salting are now. */
static u32 guest_salt(const struct guest *guest)
{
	return guest_domain(guest, guest->host->salts->salting, NULL);
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
		.pid = guest->vmm.pid,
		.remaps = guest->shares,
		.stage = memory->stage,
		.bytes = config->memory_bytes,
		.node = (u32)MAX(config->node, 0),
		.bind = config->node >= 0,
		.salt = guest_salt(guest),
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

/* All of the RAM file must be mapped, and nothing beyond it; where regions come and go, less may be. */
static bool covers_ram(const struct guest *guest, const struct attach_memory *memory)
{
	u64 bytes = guest->config->memory_bytes;
	u64 sum = 0;

	for (u32 i = 0; i < memory->count; i++) {
		const struct attach_region *region = &memory->regions[i];

		if (region->file_offset > bytes || region->length > bytes - region->file_offset)
			return false;
		sum += region->length;
	}
	return sum == bytes || guest_came(guest);
}

/* It is told at once what its balloon should be. */
static int begin_balloon(struct guest *guest)
{
	if (!guest->config->balloon && !guest_came(guest))
		return 0;
	/* A VMM that came may drop memory for reasons of its own. */
	guest->balloon = guest_balloon_create(guest->space, guest->socket);
	if (!guest->balloon)
		return -ENOMEM;
	if (!guest->config->balloon)
		return 0;
	return guest_balloon_order(guest->balloon, guest->config->balloon_target, BALLOON_STATS_MS);
}

/* Memory of all guests to come that may share with this one, as far as they are known. */
static u64 domain_pages(const struct guest *guest)
{
	const struct host_config *host = guest->host->config;
	u32 salt = guest_salt(guest);
	u64 bytes = 0;

	/* Guests that nobody named may come by the dozen: what all memory could be, and as much stored. */
	if (host->guest_default)
		bytes = 2 * host->memory_bytes;
	for (u32 i = 0; i < host->guest_count; i++) {
		if (salts_domain(guest->host->salts, guest->host->salts->salting,
				 host->guests[i].salt, i) == salt)
			bytes += host->guests[i].memory_bytes;
	}
	return MAX(bytes, guest->config->memory_bytes) / PAGE_SIZE;
}

/* SHARE: gives a VMM that offered it what it will map; not to one that drops memory by itself. Returns 0
 * or -errno. */
static int send_share(struct guest *guest)
{
	union attach_message message;
	int fds[2] = {guest->ram, -1};
	int result;

	if (!ksm_active(guest->host->ksm) || guest->hello_flags & ATTACH_HELLO_REMOVES ||
	    !(guest->hello_flags & ATTACH_HELLO_SHARES))
		return 0;
	fds[1] = ksm_join(guest->host->ksm, guest_salt(guest), (u32)MAX(guest->config->node, 0),
			  domain_pages(guest), &message.share.frame_bytes);
	if (fds[1] < 0)
		return fds[1];
	result = attach_send(guest->socket, &message, ATTACH_SHARE, sizeof(message.share), 0, fds,
			     2);
	guest->shares = !result;
	return result;
}

static u64 plugged_bytes(const struct attach_memory *memory)
{
	u64 bytes = 0;

	for (u32 i = 0; i < memory->count; i++)
		bytes += memory->regions[i].length;
	return bytes;
}

/* MEMORY: take it over, and let the guest run. */
void guest_answer_memory(struct guest *guest, const struct attach_memory *memory, int uffd)
{
	const char *fault = faultfd_fault(uffd, guest->hello_flags & ATTACH_HELLO_REMOVES);
	union attach_message message;
	int result;

	if (!fault && !covers_ram(guest, memory))
		fault = "its VMM mapped regions that are not its RAM";
	if (fault) {
		close(uffd);
		guest_refuse(guest, "%s", fault);
		return;
	}
	guest->last.accel = memory->accel;
	result = fcntl(uffd, F_SETFL, O_NONBLOCK) ? -errno : send_share(guest);
	if (result) {
		close(uffd);
		guest_refuse(guest, "its memory cannot be shared: %s", strerror(-result));
		return;
	}
	result = begin_space(guest, memory, uffd);
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
	if (guest_came(guest))
		guest->last.memory_bytes = plugged_bytes(memory);
	guest->started_ns = clock_now_ns();
	guest->stage = STAGE_RUNNING;
	guest->last.life = GUEST_LIFE_RUNNING;
}

void guest_answer_plug(struct guest *guest, const struct attach_plug *plug)
{
	const struct space_mapping mapping = {
		.hva = plug->region.hva,
		.file_offset = plug->region.file_offset,
		.length = plug->region.length,
	};
	union attach_message message = {0};
	bool in = plug->what == ATTACH_PLUG_IN;
	int result = in ? space_plug(guest->space, &mapping) : space_unplug(guest->space, &mapping);

	if (!result && in)
		guest->last.memory_bytes += mapping.length;
	else if (!result)
		guest->last.memory_bytes -= mapping.length;
	message.plugged.refused = (u32)-result;
	if (attach_send(guest->socket, &message, ATTACH_PLUGGED, sizeof(message.plugged),
			plug->header.serial, NULL, 0))
		guest_refuse(guest, "its VMM does not read what it is answered");
}
