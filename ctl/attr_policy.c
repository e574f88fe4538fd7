/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/attr_policy.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/control.h"
#include "manager/tuning.h"

#define DECISIONS_BYTES (64 * KiB)

/* One change at a time: each is read, changed in one field, and set as a whole. Outermost. */
static pthread_mutex_t tuning_lock = PTHREAD_MUTEX_INITIALIZER;
_Atomic bool attr_policy_without_turns;

static void take_turn(void)
{
	if (!attr_policy_without_turns)
		pthread_mutex_lock(&tuning_lock);
}

static void end_turn(void)
{
	if (!attr_policy_without_turns)
		pthread_mutex_unlock(&tuning_lock);
}

/* Little-endian: the value fits the field, for the row's range says so. */
static void put_field(void *tuning, u32 offset, u32 width, u64 value)
{
	memcpy((char *)tuning + offset, &value, width);
}

int write_policy(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
		 size_t size)
{
	struct policy_tuning tuning;
	int result;

	take_turn();
	manager_get_policy(target->manager, &tuning);
	put_field(&tuning, attr->offset - (u32)offsetof(struct host_snapshot, policy.tuning),
		  attr->width, value);
	result = manager_set_policy(target->manager, &tuning, error, (u32)size);
	end_turn();
	return result;
}

int take_state_pct(const struct attr_target *target, const char *text, char *error, size_t size)
{
	struct policy_tuning tuning;
	int result = -EINVAL;

	take_turn();
	manager_get_policy(target->manager, &tuning);
	if (host_state_parse(text, tuning.state_pct))
		snprintf(error, size,
			 "state_pct: `%.60s' should be five falling percentages, as 400 100 64 32 "
			 "16",
			 text);
	else
		result = manager_set_policy(target->manager, &tuning, error, (u32)size);
	end_turn();
	return result;
}

int write_ksm(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
	      size_t size)
{
	struct ksm_options options;

	(void)error;
	(void)size;
	take_turn();
	manager_get_ksm(target->manager, &options);
	put_field(&options, attr->offset - (u32)offsetof(struct host_snapshot, ksm.options),
		  attr->width, value);
	manager_set_ksm(target->manager, &options);
	end_turn();
	return 0;
}

int write_promise(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
		  size_t size)
{
	struct guest_tuning tuning;
	int result;

	take_turn();
	result = manager_get_guest(target->manager, target->index, &tuning);
	if (result) {
		snprintf(error, size, "there is no such guest");
	} else {
		put_field(&tuning,
			  attr->offset - (u32)offsetof(struct guest_snapshot, policy.tuning),
			  attr->width, value);
		result = manager_set_guest(target->manager, target->index, &tuning, error,
					   (u32)size);
	}
	end_turn();
	return result;
}

int write_balloon(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
		  size_t size)
{
	int result = manager_set_balloon(target->manager, target->index, value);

	(void)attr;
	if (result)
		snprintf(error, size, "it has no balloon that answers: %s", strerror(-result));
	return result;
}

void text_ksm_profit(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	fprintf(out, "%lld\n", (long long)view->host->ksm.general_profit);
}

void text_host_state(const struct attr_view *view, u32 state, FILE *out)
{
	(void)state;
	fprintf(out, "%s\n", host_state_name(view->host->policy.state));
}

void text_state_pct(const struct attr_view *view, u32 state, FILE *out)
{
	const u32 *pct = view->host->policy.tuning.state_pct;

	(void)state;
	for (u32 i = 0; i < HOST_STATES; i++)
		fprintf(out, "%u%c", pct[i], i + 1 < HOST_STATES ? ' ' : '\n');
}

/* The lines of the log, or NULL; the caller frees them. */
static char *decisions(const struct attr_view *view)
{
	char *text = malloc(DECISIONS_BYTES);

	if (text)
		manager_decisions(control_manager(view->control), text, DECISIONS_BYTES);
	return text;
}

void text_decisions(const struct attr_view *view, u32 state, FILE *out)
{
	char *text = decisions(view);

	(void)state;
	if (text)
		fputs(text, out);
	free(text);
}

/* "SECONDS STATE NAME: what and why" */
static bool is_about(const char *line, const char *name)
{
	const char *colon = strchr(line, ':');
	size_t length = strlen(name);

	return colon && (size_t)(colon - line) > length && colon[-(ptrdiff_t)length - 1] == ' ' &&
	       memcmp(colon - length, name, length) == 0;
}

void text_guest_decision(const struct attr_view *view, u32 state, FILE *out)
{
	char *text = decisions(view), *rest = text, *line, *last = NULL;

	(void)state;
	while (rest && (line = strsep(&rest, "\n")))
		if (is_about(line, view->guest->name))
			last = line;
	if (last)
		fprintf(out, "%s\n", last);
	free(text);
}
