/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/policy.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/thread.h"
#include "manager/decisions.h"
#include "manager/recorder.h"
#include "manager/watch.h"
#include "mem/space.h"

/* While the host has enough, nobody needs to know so exactly who uses what. */
#define CALM_PERIODS 8
/* What a page of a guest costs in page descriptors and regions, in bytes a 2 MiB region. */
#define REGION_OVERHEAD (REGION_PAGES * sizeof(struct page_word) + sizeof(struct region))

/* Makes a table longer: true when there is no memory for it, and then it is as it was. */
#define GROW(table, capacity)                                                                      \
	({                                                                                         \
		void *grown = reallocarray(table, capacity, sizeof(*(table)));                     \
		if (grown)                                                                         \
			(table) = grown;                                                           \
		!grown;                                                                            \
	})

struct policy {
	const struct host_config *config;
	struct memory *memory;
	int wake;		   /* eventfd of the thread that serves */
	struct recorder *recorder; /* NULL: nothing is recorded */
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	bool stop;
	struct policy_tuning tuning;
	enum host_state state;
	struct policy_host counters;
	u32 count, capacity;
	struct watch *watches;
	/* What target_step() works on: those who are attached. */
	u32 *who;
	struct target_guest *inputs;
	struct target_memory *memories;
	struct target_decision *outputs;
	struct decisions decisions;
};

/* Fills in the inputs of those who are there. Returns how many. */
static u32 gather(struct policy *policy, u64 now_ns)
{
	struct watch_sampling sampling = {policy->config->sample_ms, policy->tuning.sample_pct};
	u32 count = 0;

	if (policy->state == HOST_HIGH)
		sampling.period_ms *= CALM_PERIODS;
	for (u32 i = 0; i < policy->count; i++) {
		struct watch *watch = &policy->watches[i];
		struct space *space;

		if (!watch->attached || !(space = memory_get_space(policy->memory, watch->space)))
			continue;
		watch_gather(watch, space, now_ns, &sampling);
		space_put(space);
		policy->who[count] = i;
		policy->inputs[count] = watch->input;
		policy->memories[count++] = watch->memory;
	}
	return count;
}

static void describe_host(const struct policy *policy, u32 count, u64 now_ns,
			  struct target_host *host)
{
	const struct policy_tuning *tuning = &policy->tuning;
	const struct budget *budget = &policy->memory->budget;
	u64 used = atomic_load(&budget->used), resident = 0;

	for (u32 i = 0; i < count; i++)
		resident += policy->inputs[i].resident;
	*host = (struct target_host){
		.budget = budget->limit,
		.overhead = used > resident ? used - resident : 0,
		.free = budget_free(budget),
		.levels = {.min_free = policy_min_free(tuning, budget->limit)},
		.tax_pct = tuning->idle_tax_pct,
		.coldness = {tuning->cold_age_s, tuning->promotion_rate_target},
		.now_ms = now_ns / NSEC_PER_MSEC,
	};
	memcpy(host->levels.pct, tuning->state_pct, sizeof(host->levels.pct));
}

static void note(struct policy *policy, const struct target_host *host, u32 guest)
{
	const struct watch *watch = &policy->watches[guest];
	struct decision_entry entry = {
		.first_ms = host->now_ms,
		.last_ms = host->now_ms,
		.guest = guest,
		.dry_run = policy->tuning.dry_run,
		.state = policy->state,
		.free = host->free,
		.input = watch->input,
		.decision = watch->decision,
	};

	decisions_add(&policy->decisions, &entry);
}

/* Has the decisions obeyed. Returns true when some balloon is to be told something. */
static bool act(struct policy *policy, u32 count, const struct target_host *host)
{
	bool enforce = policy->tuning.active && !policy->tuning.dry_run;
	bool orders = false;
	u64 swap = 0;

	for (u32 i = 0; i < count; i++) {
		struct watch *watch = &policy->watches[policy->who[i]];
		struct space *space = memory_get_space(policy->memory, watch->space);

		watch->memory = policy->memories[i];
		watch->decision = policy->outputs[i];
		if (!space)
			continue;
		watch_act(watch, space, enforce, policy->tuning.reclaim_cold);
		space_put(space);
		note(policy, host, policy->who[i]);
		swap += watch->decision.swap + (watch->decision.goal - watch->decision.keep);
		orders |= watch->decision.action != TARGET_HOLD;
	}
	if (policy->memory->turns)
		turns_enable(policy->memory->turns, enforce && policy->tuning.turns);
	atomic_store(&policy->memory->free_goal,
		     enforce && swap && policy->state >= HOST_SOFT
			     ? host_state_level(&host->levels, HOST_SOFT)
			     : 0);
	return enforce && orders;
}

static void count_state(struct policy *policy, enum host_state state)
{
	policy->counters.steps++;
	policy->counters.state_changes += state != policy->state;
	policy->counters.state_steps[state]++;
	policy->state = state;
}

/* Asks what to do, and has question and answer recorded. */
static enum host_state decide(struct policy *policy, const struct target_host *host, u32 count)
{
	const struct record_step said = {
		.before = policy->state,
		.active = policy->tuning.active,
		.dry_run = policy->tuning.dry_run,
		.host = *host,
		.count = MIN(count, TARGET_GUESTS_MAX),
	};
	enum host_state after;

	if (policy->recorder)
		recorder_begin_step(policy->recorder, &said, policy->who, policy->inputs,
				    policy->memories);
	after = target_step(policy->state, host, policy->inputs, policy->memories, count,
			    policy->outputs);
	if (policy->recorder)
		recorder_end_step(policy->recorder, after, said.count, policy->outputs);
	return after;
}

/* One step. Lock held. */
static void step(struct policy *policy)
{
	u64 now_ns = clock_now_ns();
	u32 count = gather(policy, now_ns);
	struct target_host host;

	describe_host(policy, count, now_ns, &host);
	count_state(policy, decide(policy, &host, count));
	if (act(policy, count, &host))
		eventfd_write(policy->wake, 1);
}

static void wait_interval(struct policy *policy)
{
	u64 until_ns = clock_now_ns() + policy->tuning.interval_ms * NSEC_PER_MSEC;

	while (!policy->stop && !condition_wait(&policy->changed, &policy->lock, until_ns))
		;
}

static void *run(void *argument)
{
	struct policy *policy = argument;

	pthread_setname_np(pthread_self(), "policy");
	pthread_mutex_lock(&policy->lock);
	while (!policy->stop) {
		step(policy);
		wait_interval(policy);
	}
	pthread_mutex_unlock(&policy->lock);
	return NULL;
}

/* Room for one guest more. Lock held. */
static int grow_tables(struct policy *policy)
{
	u32 capacity = MAX(policy->capacity * 2, 16U);

	if (policy->count < policy->capacity)
		return 0;
	if (GROW(policy->watches, capacity) || GROW(policy->who, capacity) ||
	    GROW(policy->inputs, capacity) || GROW(policy->memories, capacity) ||
	    GROW(policy->outputs, capacity))
		return -ENOMEM;
	policy->capacity = capacity;
	return 0;
}

static void destroy_tables(struct policy *policy)
{
	for (u32 i = 0; i < policy->count; i++)
		watch_end(&policy->watches[i]);
	free(policy->watches);
	free(policy->who);
	free(policy->inputs);
	free(policy->memories);
	free(policy->outputs);
}

int policy_create(const struct host_config *config, struct memory *memory, int wake,
		  struct policy **out)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	char why[256];
	int result;

	if (!policy)
		return -ENOMEM;
	policy->config = config;
	policy->memory = memory;
	policy->wake = wake;
	policy->tuning = config->policy;
	pthread_mutex_init(&policy->lock, NULL);
	condition_init(&policy->changed);
	result = policy_tuning_check(&policy->tuning, why, sizeof(why));
	if (result)
		log_error("policy: %s", why);
	if (!result && config->record[0])
		result = recorder_open(config->record, config->name, memory, &policy->recorder);
	if (!result)
		result = thread_start(&policy->thread, run, policy);
	if (!result) {
		*out = policy;
		return 0;
	}
	if (result != -EINVAL)
		log_error("the policy cannot start: %s", strerror(-result));
	recorder_close(policy->recorder);
	destroy_tables(policy);
	free(policy);
	return result;
}

void policy_destroy(struct policy *policy)
{
	pthread_mutex_lock(&policy->lock);
	policy->stop = true;
	pthread_cond_signal(&policy->changed);
	pthread_mutex_unlock(&policy->lock);
	pthread_join(policy->thread, NULL);
	recorder_close(policy->recorder);
	destroy_tables(policy);
	pthread_mutex_destroy(&policy->lock);
	pthread_cond_destroy(&policy->changed);
	free(policy);
}

/* What all who are admitted need at least, with this one as it would be. Lock held. */
static u64 needed(const struct policy *policy, u32 index, const struct guest_tuning *tuning)
{
	u64 sum = 0;

	for (u32 i = 0; i < policy->count; i++) {
		const struct watch *watch = &policy->watches[i];

		if (i != index && !watch->admitted)
			continue;
		sum += (i == index ? tuning : &watch->tuning)->min +
		       watch->memory_bytes / REGION_SIZE * REGION_OVERHEAD;
	}
	return sum;
}

/* Whether the mins fit. Lock held. */
static int check_fit(const struct policy *policy, u32 index, const struct guest_tuning *tuning,
		     char *why, u32 size)
{
	const struct budget *budget = &policy->memory->budget;
	u64 needs = needed(policy, index, tuning);

	if (!tuning->min || needs + budget->high <= budget->limit)
		return 0;
	snprintf(
		why, size,
		"its min of %lu MiB does not fit: all mins and page tables together are %lu MiB, and "
		"%lu MiB stay free, of a budget of %lu MiB: lower min or raise memory",
		tuning->min / MiB, needs / MiB, budget->high / MiB, budget->limit / MiB);
	return -ENOSPC;
}

static struct watch watch_of(const struct guest_config *config)
{
	return (struct watch){
		.name = config->name,
		.memory_bytes = config->memory_bytes,
		.by_hand = config->balloon_target,
		.tuning = config->tuning,
	};
}

int policy_add(struct policy *policy, const struct guest_config *config)
{
	int result;

	pthread_mutex_lock(&policy->lock);
	result = grow_tables(policy);
	if (!result) {
		result = (int)policy->count;
		policy->watches[policy->count++] = watch_of(config);
	}
	pthread_mutex_unlock(&policy->lock);
	return result;
}

void policy_replace(struct policy *policy, u32 index, const struct guest_config *config)
{
	pthread_mutex_lock(&policy->lock);
	watch_end(&policy->watches[index]);
	policy->watches[index] = watch_of(config);
	pthread_mutex_unlock(&policy->lock);
}

int policy_admit(struct policy *policy, u32 index, char *why, u32 size)
{
	struct watch *watch;
	int result;

	pthread_mutex_lock(&policy->lock);
	watch = &policy->watches[index];
	result = guest_tuning_check(&watch->tuning, watch->memory_bytes, why, size);
	if (!result)
		result = check_fit(policy, index, &watch->tuning, why, size);
	watch->admitted = !result;
	pthread_mutex_unlock(&policy->lock);
	return result;
}

void policy_attach(struct policy *policy, u32 index, struct space *space)
{
	struct watch *watch;

	pthread_mutex_lock(&policy->lock);
	watch = &policy->watches[index];
	if (watch_begin(watch, space->id))
		log_warn("guest %s: no memory to sample it: all it has counts as active",
			 watch->name);
	watch_act(watch, space, false, false);
	if (policy->recorder)
		recorder_guest(policy->recorder, index, space->id, watch->name);
	pthread_mutex_unlock(&policy->lock);
}

void policy_detach(struct policy *policy, u32 index)
{
	pthread_mutex_lock(&policy->lock);
	watch_end(&policy->watches[index]);
	pthread_mutex_unlock(&policy->lock);
}

void policy_hear(struct policy *policy, u32 index, const struct policy_balloon *balloon)
{
	pthread_mutex_lock(&policy->lock);
	policy->watches[index].balloon = *balloon;
	pthread_mutex_unlock(&policy->lock);
}

bool policy_order(struct policy *policy, u32 index, u64 *bytes)
{
	struct watch *watch;
	bool order;

	pthread_mutex_lock(&policy->lock);
	watch = &policy->watches[index];
	*bytes = watch->decision.balloon;
	order = watch->attached && watch->input.balloon && policy->tuning.active &&
		!policy->tuning.dry_run && watch->ordered != *bytes;
	if (order)
		watch->ordered = *bytes;
	pthread_mutex_unlock(&policy->lock);
	return order;
}

void policy_set_by_hand(struct policy *policy, u32 index, bool by_hand)
{
	pthread_mutex_lock(&policy->lock);
	policy->watches[index].by_hand = by_hand;
	policy->watches[index].input.balloon &= !by_hand;
	policy->watches[index].ordered = UINT64_MAX;
	pthread_mutex_unlock(&policy->lock);
}

void policy_repeat_order(struct policy *policy, u32 index)
{
	pthread_mutex_lock(&policy->lock);
	policy->watches[index].ordered = UINT64_MAX;
	pthread_mutex_unlock(&policy->lock);
}

void policy_guest_snapshot(struct policy *policy, u32 index, struct policy_guest *snapshot)
{
	const struct watch *watch;

	pthread_mutex_lock(&policy->lock);
	watch = &policy->watches[index];
	*snapshot = (struct policy_guest){
		.tuning = watch->tuning,
		.min = watch->tuning.min,
		.max = watch_max(watch),
		.limit = watch_limit(watch),
		.shares = watch_shares(watch),
		.goal = watch->decision.goal,
		.active = watch->input.active,
		.cold = watch->input.cold,
		.balloon = watch->decision.balloon,
		.cold_age_ms = watch->decision.cold_ms,
		.blocked = watch->blocked,
		.promotion = watch->memory.coldness.promotion,
	};
	watch_ages(watch, clock_now_ns(), snapshot->age_bytes);
	snapshot->sampled = watch_sampled(watch);
	pthread_mutex_unlock(&policy->lock);
}

void policy_host_snapshot(struct policy *policy, struct policy_host *snapshot)
{
	pthread_mutex_lock(&policy->lock);
	*snapshot = policy->counters;
	snapshot->tuning = policy->tuning;
	snapshot->state = policy->state;
	snapshot->min_free = policy_min_free(&policy->tuning, policy->memory->budget.limit);
	snapshot->decisions = policy->decisions.count;
	snapshot->active = policy->tuning.active;
	snapshot->dry_run = policy->tuning.dry_run;
	pthread_mutex_unlock(&policy->lock);
}

void policy_get_tuning(struct policy *policy, struct policy_tuning *tuning)
{
	pthread_mutex_lock(&policy->lock);
	*tuning = policy->tuning;
	pthread_mutex_unlock(&policy->lock);
}

int policy_set_tuning(struct policy *policy, const struct policy_tuning *tuning, char *why,
		      u32 size)
{
	int result = policy_tuning_check(tuning, why, size);

	if (result)
		return result;
	pthread_mutex_lock(&policy->lock);
	policy->tuning = *tuning;
	pthread_cond_signal(&policy->changed);
	pthread_mutex_unlock(&policy->lock);
	return 0;
}

int policy_get_guest(struct policy *policy, u32 index, struct guest_tuning *tuning)
{
	int result = -ENOENT;

	pthread_mutex_lock(&policy->lock);
	if (index < policy->count) {
		*tuning = policy->watches[index].tuning;
		result = 0;
	}
	pthread_mutex_unlock(&policy->lock);
	return result;
}

/* Lock held. */
static int set_guest(struct policy *policy, u32 index, const struct guest_tuning *tuning, char *why,
		     u32 size)
{
	struct watch *watch = &policy->watches[index];
	int result = guest_tuning_check(tuning, watch->memory_bytes, why, size);

	if (!result && watch->admitted && check_fit(policy, index, tuning, why, size))
		result = -EINVAL;
	if (!result)
		watch->tuning = *tuning;
	return result;
}

int policy_set_guest(struct policy *policy, u32 index, const struct guest_tuning *tuning, char *why,
		     u32 size)
{
	int result = -ENOENT;

	pthread_mutex_lock(&policy->lock);
	if (index < policy->count)
		result = set_guest(policy, index, tuning, why, size);
	pthread_mutex_unlock(&policy->lock);
	return result;
}

u32 policy_decisions(struct policy *policy, char *text, u32 size)
{
	const struct decision_entry *entry;
	u32 length = 0, back = 0, line;

	if (!size)
		return 0;
	pthread_mutex_lock(&policy->lock);
	/* The oldest whose line and those after it can be sure to fit. */
	while (back + 1 < size / DECISION_LINE && decisions_get(&policy->decisions, back))
		back++;
	while (back-- && (entry = decisions_get(&policy->decisions, back))) {
		line = decision_describe(entry, policy->watches[entry->guest].name, text + length,
					 MIN(size - length, DECISION_LINE));
		length += line;
		text[length++] = '\n';
	}
	pthread_mutex_unlock(&policy->lock);
	text[length] = '\0';
	return length;
}
