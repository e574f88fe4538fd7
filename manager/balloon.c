/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/balloon.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/abi.h"
#include "lib/clock.h"
#include "lib/thread.h"
#include "mem/drop.h"

/* Between two questions for free pages. */
#define ASK_PERIOD (500 * NSEC_PER_MSEC)

struct guest_balloon {
	struct space *space;
	int socket;
	struct attach_balloon order; /* of the serving thread, as last sent */
	struct attach_balloon_stats stats;
	u64 stats_ns; /* when the values were true; 0: never */
	_Atomic u64 inflated, deflated, freed, hinted;
	_Atomic u32 asked; /* the last question for free pages */
	u64 ask_due;	   /* ns: no question before */

	pthread_mutex_t lock; /* guards all below; taken with no other */
	pthread_cond_t changed;
	bool started;
	_Atomic bool stop;
	pthread_t thread;
	u32 head, length; /* of the queue, a ring: taken on and not answered */
	struct attach_drop *queue;
};

struct guest_balloon *guest_balloon_create(struct space *space, int socket)
{
	struct guest_balloon *balloon = calloc(1, sizeof(*balloon));

	if (!balloon)
		return NULL;
	balloon->space = space;
	balloon->socket = socket;
	pthread_mutex_init(&balloon->lock, NULL);
	pthread_cond_init(&balloon->changed, NULL);
	return balloon;
}

void guest_balloon_destroy(struct guest_balloon *balloon)
{
	if (!balloon)
		return;
	pthread_mutex_lock(&balloon->lock);
	balloon->stop = true;
	pthread_cond_signal(&balloon->changed);
	pthread_mutex_unlock(&balloon->lock);
	if (balloon->started)
		pthread_join(balloon->thread, NULL);
	pthread_cond_destroy(&balloon->changed);
	pthread_mutex_destroy(&balloon->lock);
	free(balloon->queue);
	free(balloon);
}

static int send_order(struct guest_balloon *balloon)
{
	union attach_message message = {.balloon = balloon->order};

	return attach_send(balloon->socket, &message, ATTACH_BALLOON, sizeof(message.balloon), 0,
			   NULL, 0);
}

int guest_balloon_order(struct guest_balloon *balloon, u64 target, u32 stats_ms)
{
	balloon->order.target_pages = MIN(target / PAGE_SIZE, (u64)UINT32_MAX);
	balloon->order.stats_ms = stats_ms;
	return send_order(balloon);
}

int guest_balloon_ask_free(struct guest_balloon *balloon)
{
	if (!++balloon->order.hint_round)
		balloon->order.hint_round = 1;
	atomic_store(&balloon->asked, balloon->order.hint_round);
	return send_order(balloon);
}

void guest_balloon_tick(struct guest_balloon *balloon, u64 now)
{
	const struct budget *budget = &balloon->space->memory->budget;

	if (!(balloon->stats.features >> BALLOON_F_FREE_PAGE_HINT & 1) ||
	    budget_free(budget) >= budget->high || now < balloon->ask_due)
		return;
	balloon->ask_due = now + ASK_PERIOD;
	guest_balloon_ask_free(balloon);
}

/* Hints in answer to any but the last question come too late: they cannot be told from those before a
 * page was marked. */
static void drop_run(struct guest_balloon *balloon, const struct attach_drop *drop,
		     const struct attach_run *run)
{
	switch (drop->what) {
	case ATTACH_DROP_INFLATE:
		balloon->inflated +=
			drop_pages(balloon->space, run->first, run->count, PAGE_BALLOONED);
		break;
	case ATTACH_DROP_DEFLATE:
		balloon->deflated += drop_return(balloon->space, run->first, run->count);
		break;
	case ATTACH_DROP_HINT:
		if (drop->round == atomic_load(&balloon->asked))
			balloon->hinted +=
				drop_hinted(balloon->space, run->first, run->count, drop->round);
		break;
	case ATTACH_DROP_FREE:
		balloon->freed += drop_pages(balloon->space, run->first, run->count, PAGE_ZERO);
		break;
	}
}

static void carry_out(struct guest_balloon *balloon, const struct attach_drop *drop)
{
	if (drop->what == ATTACH_DROP_RESET)
		balloon->deflated += drop_return(balloon->space, 0, balloon->space->table.pages);
	for (u32 i = 0; i < drop->count && !balloon->stop; i++)
		drop_run(balloon, drop, &drop->runs[i]);
}

/* A VMM that does not read its answers does so to its own guest. */
static void answer(struct guest_balloon *balloon, u32 serial)
{
	union attach_message message;
	int err = attach_send(balloon->socket, &message, ATTACH_DROPPED, sizeof(message.header),
			      serial, NULL, 0);

	if (err && err != -EPIPE)
		space_fail(balloon->space, "its VMM does not read what it is answered: %s",
			   strerror(-err));
}

/* The DROP at the head of the queue stays there while it is carried out: it counts as unanswered. */
static void *balloon_thread(void *argument)
{
	struct guest_balloon *balloon = argument;

	pthread_mutex_lock(&balloon->lock);
	while (!balloon->stop) {
		const struct attach_drop *drop = &balloon->queue[balloon->head];
		u32 serial;

		if (!balloon->length) {
			pthread_cond_wait(&balloon->changed, &balloon->lock);
			continue;
		}
		pthread_mutex_unlock(&balloon->lock);
		carry_out(balloon, drop);
		pthread_mutex_lock(&balloon->lock);
		serial = drop->header.serial;
		balloon->head = (balloon->head + 1) % ATTACH_MAX_DROPS;
		balloon->length--;
		pthread_mutex_unlock(&balloon->lock);
		answer(balloon, serial);
		pthread_mutex_lock(&balloon->lock);
	}
	pthread_mutex_unlock(&balloon->lock);
	return NULL;
}

/* Lock held. */
static int start(struct guest_balloon *balloon)
{
	int err;

	if (balloon->started)
		return 0;
	if (!balloon->queue)
		balloon->queue = calloc(ATTACH_MAX_DROPS, sizeof(*balloon->queue));
	if (!balloon->queue)
		return -ENOMEM;
	err = thread_start(&balloon->thread, balloon_thread, balloon);
	balloon->started = !err;
	return err;
}

static bool within_ram(const struct guest_balloon *balloon, const struct attach_drop *drop)
{
	for (u32 i = 0; i < drop->count; i++)
		if ((u64)drop->runs[i].first + drop->runs[i].count > balloon->space->table.pages)
			return false;
	return true;
}

int guest_balloon_drop(struct guest_balloon *balloon, const struct attach_drop *drop,
		       const char **why)
{
	int err = -EPROTO;

	*why = "DROP of pages that are not its RAM";
	if (!within_ram(balloon, drop))
		return err;
	pthread_mutex_lock(&balloon->lock);
	*why = "more DROPs than may be unanswered";
	if (balloon->length < ATTACH_MAX_DROPS) {
		*why = "no thread or memory to drop its pages";
		err = start(balloon);
	}
	if (!err) {
		balloon->queue[(balloon->head + balloon->length++) % ATTACH_MAX_DROPS] = *drop;
		pthread_cond_signal(&balloon->changed);
	}
	pthread_mutex_unlock(&balloon->lock);
	return err;
}

void guest_balloon_take_stats(struct guest_balloon *balloon,
			      const struct attach_balloon_stats *stats)
{
	balloon->stats = *stats;
	if (stats->valid)
		balloon->stats_ns = clock_now_ns() - stats->age_ms * NSEC_PER_MSEC;
}

void guest_balloon_snapshot(struct guest_balloon *balloon, struct balloon_snapshot *snapshot)
{
	const struct attach_balloon_stats *stats = &balloon->stats;

	*snapshot = (struct balloon_snapshot){
		.target = balloon->order.target_pages * PAGE_SIZE,
		.actual = MIN(stats->actual_pages, (u64)UINT32_MAX) * PAGE_SIZE,
		.features = stats->features,
		.inflated = balloon->inflated,
		.deflated = balloon->deflated,
		.freed = balloon->freed,
		.hinted = balloon->hinted,
		.stats_age_ms = UINT64_MAX,
		.valid = stats->valid,
	};
	if (balloon->stats_ns)
		snapshot->stats_age_ms = (clock_now_ns() - balloon->stats_ns) / NSEC_PER_MSEC;
	memcpy(snapshot->values, stats->values, sizeof(snapshot->values));
}
