/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other sharing domains while guests run. Who changes goes through being alone (SALT_ALONE): from then on nothing of
 * it becomes shared; what is stored and shared comes back into its own memory; and when nothing is left, it is given
 * its new domain. A page that was being stored when the salt changed may still become shared in the old one: so
 * first every region is seen with no page busy.
 *
 *	alone -> regions at rest -> stored pages back -> new domain
 *	              frames are mapped, or no memory -> old domain again: nothing new was shared meanwhile
 *
 * Frames that its VMM has mapped are not taken away here: ksm/run = 2 does that for all guests.
 *
 * A guest that begins meanwhile is in a domain of the old sort, and has its turn before the end.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "ksm/ksm.h"
#include "lib/clock.h"
#include "manager/state.h"
#include "mem/fill.h"
#include "mem/reclaim.h"
#include "mem/space.h"
#include "swap/shared.h"

#define PATIENCE    (5 * NSEC_PER_SEC)
#define LEAVE_BYTES (2 * MiB) /* room is made by so much, where there is none to come back to */

struct change {
	enum host_salting salting;
	s64 index; /* of the guest that gets another salt; -1: none */
	const char *salt;
};

/* False: it did not come to rest in time. */
static bool await_rest(struct space *space, u64 deadline_ns)
{
	for (u64 i = 0; i < space->region_count; i++) {
		struct region *region = &space->regions[i];
		u32 held;

		for (;;) {
			pthread_mutex_lock(&region->lock);
			held = region->held;
			pthread_mutex_unlock(&region->lock);
			if (!held)
				break;
			if (clock_now_ns() >= deadline_ns)
				return false;
			usleep(200);
		}
	}
	return true;
}

static bool is_shared(struct page_word word)
{
	enum page_state state = page_word_state(word);

	return state == PAGE_SHARED ||
	       (state == PAGE_COMPRESSED && payload_is_shared(page_word_payload(word)));
}

/* Has pages filled that are shared and have no frame mapped. Returns how many it found. */
static u64 bring_back(struct space *space, u64 deadline_ns)
{
	u64 found = 0;

	for (u64 i = 0; i < space->table.pages && clock_now_ns() < deadline_ns; i++) {
		struct page_word word = page_table_read(&space->table, i);

		if (!is_shared(word))
			continue;
		found++;
		if (!page_word_busy(word))
			fill_window(space, i, 1, fill_class_of(page_word_state(word)), FILL_AHEAD,
				    0);
	}
	return found;
}

/* Whether nothing of the space, which is alone, is shared any more: 0; or why not. */
static const char *leave(struct manager *manager, struct space *space, u64 deadline_ns)
{
	static const char late[] = "what is stored of it is shared, and there is no memory to "
				   "bring it back; raise memory, and write it again";
	u64 left = UINT64_MAX, before;

	if (!await_rest(space, deadline_ns))
		return late;
	ksm_forget(manager->ksm, space);
	while (!atomic_load(&space->failed) && !atomic_load(&space->remap.gone)) {
		if (atomic_load(&space->counters.foreign))
			return "it has shared frames mapped; write 2 to ksm/run, wait until "
			       "ksm/pages_shared is 0, and write it again";
		before = left;
		left = bring_back(space, deadline_ns);
		if (clock_now_ns() >= deadline_ns)
			return late;
		if (!left)
			return NULL;
		if (left >= before)
			reclaim_from(manager->reclaim, space, LEAVE_BYTES, deadline_ns);
	}
	return NULL;
}

static u32 wanted_domain(const struct manager *manager, const struct change *change, u32 i)
{
	return guest_domain(manager->guests[i], change->salting,
			    i == change->index ? change->salt : NULL);
}

/* The memory of a guest that has to leave its domain, with a reference; NULL: all have. Lock held. */
static struct space *next_to_leave(struct manager *manager, const struct change *change)
{
	for (u32 i = 0; i < manager->guest_count; i++) {
		struct space *space = guest_get_space(manager->guests[i]);
		u32 salt;

		if (!space)
			continue;
		salt = atomic_load(&space->salt);
		if (salt != SALT_ALONE && salt != wanted_domain(manager, change, i))
			return space;
		space_put(space);
	}
	return NULL;
}

/* Everybody's domain, by that. Lock held. */
static void settle(struct manager *manager, const struct change *change)
{
	for (u32 i = 0; i < manager->guest_count; i++) {
		struct space *space = guest_get_space(manager->guests[i]);

		if (!space)
			continue;
		atomic_store(&space->salt, wanted_domain(manager, change, i));
		space_put(space);
	}
}

/* Has them leave one by one. Returns with the lock held: 0, and all have; or -EBUSY with a sentence. */
static int leave_all(struct manager *manager, const struct change *change, char *error, size_t size)
{
	u64 deadline_ns = clock_now_ns() + PATIENCE;

	for (;;) {
		struct space *space;
		const char *why;

		pthread_mutex_lock(&manager->lock);
		space = next_to_leave(manager, change);
		if (!space)
			return 0;
		atomic_store(&space->salt, SALT_ALONE);
		pthread_mutex_unlock(&manager->lock);
		why = leave(manager, space, deadline_ns);
		if (why)
			snprintf(error, size, "guest %s: %s", space->options.name, why);
		space_put(space);
		if (!why)
			continue;
		pthread_mutex_lock(&manager->lock);
		return -EBUSY;
	}
}

static int apply(struct manager *manager, const struct change *change, char *error, size_t size)
{
	const struct change none = {manager->salts.salting, -1, NULL};
	int result = leave_all(manager, change, error, size);

	settle(manager, result ? &none : change);
	if (!result) {
		manager->salts.salting = change->salting;
		if (change->index >= 0)
			guest_set_salt(manager->guests[change->index], change->salt);
	}
	pthread_mutex_unlock(&manager->lock);
	return result;
}

int manager_set_salting(struct manager *manager, u32 salting, char *error, size_t size)
{
	const struct change change = {(enum host_salting)salting, -1, NULL};
	int result;

	pthread_mutex_lock(&manager->resalt_lock);
	result = apply(manager, &change, error, size);
	pthread_mutex_unlock(&manager->resalt_lock);
	return result;
}

int manager_set_salt(struct manager *manager, u32 index, const char *salt, char *error, size_t size)
{
	struct change change = {.index = index, .salt = salt};
	int result;

	pthread_mutex_lock(&manager->resalt_lock);
	change.salting = manager->salts.salting;
	result = apply(manager, &change, error, size);
	pthread_mutex_unlock(&manager->resalt_lock);
	return result;
}
