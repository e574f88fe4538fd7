/* SPDX-License-Identifier: Apache-2.0 */
/* Which guests there are: they come, end, and stay listed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/data.h"
#include "manager/state.h"

#define GUESTS_MAX 4096U /* in all, those that have ended included */

/* Room for one guest more. */
static int grow_guests(struct manager *manager)
{
	u32 capacity = MAX(manager->guest_capacity * 2, 16U);
	struct guest **guests;
	struct guest_config **added;

	if (manager->guest_count < manager->guest_capacity)
		return 0;
	guests = reallocarray(manager->guests, capacity, sizeof(*guests));
	if (!guests)
		return -ENOMEM;
	manager->guests = guests;
	added = reallocarray(manager->added, capacity, sizeof(*added));
	if (!added)
		return -ENOMEM;
	manager->added = added;
	manager->guest_capacity = capacity;
	return 0;
}

/* `added` is the manager's from now on, or NULL: the configuration is the host's. */
static struct guest *add_guest(struct manager *manager, const struct guest_config *config,
			       struct guest_config *added)
{
	struct guest *guest = NULL;

	if (!grow_guests(manager))
		guest = guest_start(&manager->host, config);
	if (!guest) {
		free(added);
		return NULL;
	}
	manager->added[manager->guest_count] = added;
	manager->guests[manager->guest_count++] = guest;
	return guest;
}

/* Before the first guest fills what there is: later, it would be room that has to be made. */
static void load_data(struct manager *manager)
{
	for (u32 i = 0; i < manager->config->guest_count; i++) {
		const char *path = manager->config->guests[i].data;

		if (path[0])
			data_cache_load(manager->data, path);
	}
	manager_charge_data(manager);
}

/* Lock held. */
static int start_guests(struct manager *manager)
{
	u32 running = 0;

	load_data(manager);
	for (u32 i = 0; i < manager->config->guest_count; i++) {
		struct guest *guest = add_guest(manager, &manager->config->guests[i], NULL);

		if (!guest)
			return -ENOMEM;
		running += guest_running(guest);
	}
	return running ? 0 : -ECHILD;
}

int manager_start_guests(struct manager *manager)
{
	int result;

	if (manager->lobby)
		return 0; /* they come by themselves */
	pthread_mutex_lock(&manager->lock);
	result = start_guests(manager);
	pthread_mutex_unlock(&manager->lock);
	return result;
}

int manager_find_locked(const struct manager *manager, const char *name)
{
	int found = -ENOENT;

	for (u32 i = 0; i < manager->guest_count; i++) {
		if (strcmp(guest_name(manager->guests[i]), name) != 0)
			continue;
		found = (int)i;
		if (guest_running(manager->guests[i]))
			break;
	}
	return found;
}

u32 manager_count_running(const struct manager *manager)
{
	u32 running = 0;

	for (u32 i = 0; i < manager->guest_count; i++)
		running += guest_running(manager->guests[i]);
	return running;
}

int manager_admit(struct manager *manager, struct guest_config *config, s64 place,
		  const struct guest_visit *visit, struct guest **guest)
{
	const u32 number = (u32)place;

	if (place < 0 && manager->guest_count >= GUESTS_MAX)
		return -ENOSPC;
	if (place < 0 && grow_guests(manager))
		return -ENOMEM;
	*guest = guest_accept(&manager->host, config, place < 0 ? NULL : &number, visit);
	if (!*guest)
		return -ENOMEM;
	if (place < 0) {
		place = manager->guest_count++;
		manager->slack += SLACK_PER_GUEST;
		manager_follow_limit(manager);
	} else {
		guest_destroy(manager->guests[place]);
		free(manager->added[place]);
	}
	manager->guests[place] = *guest;
	manager->added[place] = config;
	return 0;
}

static int check_new_guest(const struct manager *manager, const struct guest_config *config,
			   char *error, size_t size)
{
	int same = manager_find_locked(manager, config->name);

	if (same >= 0 && guest_running(manager->guests[same])) {
		snprintf(error, size, "a guest %s runs already: give this one another name",
			 config->name);
		return -EEXIST;
	}
	if (manager->ended_ns) {
		snprintf(error, size, "all guests have ended, and so does the run");
		return -ESHUTDOWN;
	}
	if (manager->guest_count >= GUESTS_MAX) {
		snprintf(error, size, "this run has had %u guests: it keeps no more", GUESTS_MAX);
		return -ENOSPC;
	}
	return 0;
}

/* Lock held. */
static int start_guest(struct manager *manager, const struct guest_config *config, char *error,
		       size_t size)
{
	int result = check_new_guest(manager, config, error, size);
	struct guest_config *copy;

	if (result)
		return result;
	copy = malloc(sizeof(*copy));
	if (!copy) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	*copy = *config;
	manager->slack += SLACK_PER_GUEST;
	manager_follow_limit(manager);
	if (!add_guest(manager, copy, copy)) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	return (int)manager->guest_count - 1;
}

int manager_start_guest(struct manager *manager, const struct guest_config *config, char *error,
			size_t size)
{
	int result;

	pthread_mutex_lock(&manager->lock);
	result = start_guest(manager, config, error, size);
	pthread_mutex_unlock(&manager->lock);
	manager_wake(manager);
	return result;
}

void manager_stop_guests(struct manager *manager, bool graceful, const char *reason)
{
	pthread_mutex_lock(&manager->lock);
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_stop(manager->guests[i], graceful, reason);
	pthread_mutex_unlock(&manager->lock);
}

int manager_stop_guest(struct manager *manager, u32 index, bool graceful, const char *reason)
{
	int result = -ESRCH;

	pthread_mutex_lock(&manager->lock);
	if (guest_running(manager->guests[index])) {
		guest_stop(manager->guests[index], graceful, reason);
		result = 0;
	}
	pthread_mutex_unlock(&manager->lock);
	return result;
}

int manager_find_guest(struct manager *manager, const char *name)
{
	int found;

	pthread_mutex_lock(&manager->lock);
	found = manager_find_locked(manager, name);
	pthread_mutex_unlock(&manager->lock);
	return found;
}
