/* SPDX-License-Identifier: Apache-2.0 */
/* Who may bring a guest, and as which: by the configuration, and by who the kernel says it is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "manager/state.h"

/* Guests that came and went stay listed, up to so many; then one takes the place of another. */
#define GONE_KEPT 256U

/* The section for a guest of that name: its own, or the default. */
static const struct guest_config *section_for(const struct host_config *config, const char *name)
{
	for (u32 i = 0; i < config->guest_count; i++)
		if (!strcmp(config->guests[i].name, name))
			return &config->guests[i];
	return config->guest_default;
}

/* Why it may not; false: it may. */
static bool refused(const struct manager *manager, const struct guest_config *section,
		    const struct visitor *visitor, char *why, size_t size)
{
	const struct attach_hello *hello = &visitor->hello;
	int same = manager_find_locked(manager, hello->name);

	if (!section)
		snprintf(why, size,
			 "there is no [guest %s] in the configuration, and no [guest-default]",
			 hello->name);
	else if (section->user[0] && visitor->uid && visitor->uid != section->uid)
		snprintf(why, size, "guest %s is user %s's, and this is user %u", hello->name,
			 section->user, visitor->uid);
	else if (same >= 0 && guest_running(manager->guests[same]))
		snprintf(why, size, "a guest %s runs already: give this one another name",
			 hello->name);
	else if (hello->ram_bytes > section->memory_bytes)
		snprintf(why, size,
			 "guest %s wants %lu MiB of memory, and may have %lu: raise `memory' of "
			 "its section",
			 hello->name, hello->ram_bytes / MiB, section->memory_bytes / MiB);
	else
		return false;
	return true;
}

/* The configuration of what came: its section's, but for what it brings itself. */
static struct guest_config *configure(const struct guest_config *section,
				      const struct attach_hello *hello)
{
	struct guest_config *config = malloc(sizeof(*config));

	if (!config)
		return NULL;
	*config = *section;
	snprintf(config->name, sizeof(config->name), "%s", hello->name);
	config->memory_bytes = hello->ram_bytes;
	config->vcpus = hello->vcpus;
	config->kernel[0] = config->data[0] = config->workload[0] = config->args[0] = '\0';
	config->tuning.max = MIN(config->tuning.max, config->memory_bytes);
	config->tuning.limit = MIN(config->tuning.limit, config->memory_bytes);
	return config;
}

/* The place of one that came and ended: of the same name, or, when there are many, any. -1: a new one. */
static s64 find_place(const struct manager *manager, const char *name)
{
	s64 any = -1;

	for (u32 i = 0; i < manager->guest_count; i++) {
		const struct guest *guest = manager->guests[i];

		if (guest_running(guest) || !manager->added[i])
			continue;
		if (!strcmp(guest_name(guest), name))
			return i;
		if (any < 0 && manager->guest_count >= GONE_KEPT)
			any = i;
	}
	return any;
}

static void take_in(struct manager *manager, const struct visitor *visitor,
		    const struct guest_config *section)
{
	struct guest_config *config = configure(section, &visitor->hello);
	const struct guest_visit visit = {
		.hello = &visitor->hello, .process = visitor->process, .socket = visitor->socket};
	s64 place = find_place(manager, visitor->hello.name);
	struct guest *guest;

	if (!config || manager_admit(manager, config, place, &visit, &guest)) {
		free(config);
		lobby_turn_away(visitor, "no memory, or too many guests");
		return;
	}
	if (guest_running(guest))
		log_info("guest %s: process %d of user %u brings it, %lu MiB", guest_name(guest),
			 visitor->process.pid, visitor->uid, visitor->hello.ram_bytes / MiB);
}

void manager_receive_visitors(struct manager *manager)
{
	struct visitor visitor;
	char why[256];

	while (manager->lobby && lobby_next(manager->lobby, &visitor)) {
		const struct guest_config *section =
			section_for(manager->config, visitor.hello.name);

		if (refused(manager, section, &visitor, why, sizeof(why)))
			lobby_turn_away(&visitor, "%s", why);
		else
			take_in(manager, &visitor, section);
	}
}
