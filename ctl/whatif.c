/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/whatif.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/attr.h"
#include "manager/tuning.h"
#include "mem/memory.h"

struct change {
	char guest[ATTACH_NAME_MAX]; /* "": of the host; "*": of all */
	const struct setting *setting;
	u64 value;
	u32 pct[HOST_STATES];
};

struct whatif {
	FILE *out;
	u64 lines; /* that may still be told */
	struct change *changes;
	u32 change_count;
	struct whatif_guest **guests;
	u32 guest_count;
	u32 owners[MEMORY_MAX_SPACES]; /* guest of a space, plus one; 0: nobody */
	u64 start_ns;
	enum host_state state;
	struct whatif_totals totals;
	/* Of the step that is made again. */
	struct record_row rows[TARGET_GUESTS_MAX];
	struct target_guest inputs[TARGET_GUESTS_MAX];
	struct target_memory memories[TARGET_GUESTS_MAX];
	struct target_decision decisions[TARGET_GUESTS_MAX];
};

int whatif_create(FILE *out, u64 lines, struct whatif **result)
{
	struct whatif *whatif = calloc(1, sizeof(*whatif));

	if (!whatif)
		return -ENOMEM;
	whatif->out = out;
	whatif->lines = lines;
	*result = whatif;
	return 0;
}

void whatif_destroy(struct whatif *whatif)
{
	if (!whatif)
		return;
	for (u32 i = 0; i < whatif->guest_count; i++)
		free(whatif->guests[i]);
	free(whatif->guests);
	free(whatif->changes);
	free(whatif);
}

bool whatif_changes(const struct whatif *whatif)
{
	return whatif->change_count > 0;
}

const struct whatif_totals *whatif_totals(const struct whatif *whatif)
{
	return &whatif->totals;
}

const struct whatif_guest *whatif_guest(const struct whatif *whatif, u32 number)
{
	return number < whatif->guest_count ? whatif->guests[number] : NULL;
}

/* ---- settings ---- */

/* What can be changed: attributes whose value is an input of the policy's functions. */
struct setting {
	enum attr_scope scope;
	const char *path;
	void (*host)(struct target_host *host, const struct change *change);
	void (*guest)(struct target_guest *guest, const struct change *change);
};

/* A larger budget would have left that much more free. */
static void set_memory(struct target_host *host, const struct change *change)
{
	u64 taken = host->budget - MIN(host->free, host->budget);

	host->budget = change->value;
	host->free = host->budget - MIN(taken, host->budget);
}

static void set_min_free(struct target_host *host, const struct change *change)
{
	const struct policy_tuning tuning = {.min_free = change->value};

	host->levels.min_free = policy_min_free(&tuning, host->budget);
}

static void set_levels(struct target_host *host, const struct change *change)
{
	memcpy(host->levels.pct, change->pct, sizeof(host->levels.pct));
}

static void set_tax(struct target_host *host, const struct change *change)
{
	host->tax_pct = (u32)change->value;
}

static void set_cold_age(struct target_host *host, const struct change *change)
{
	host->coldness.age_s = (u32)change->value;
}

static void set_promotion(struct target_host *host, const struct change *change)
{
	host->coldness.promotion_per_mille = (u32)change->value;
}

static void set_min(struct target_guest *guest, const struct change *change)
{
	guest->min = MIN(change->value, guest->memory);
	guest->max = MAX(guest->max, guest->min);
	guest->limit = MAX(guest->limit, guest->min);
}

static void set_max(struct target_guest *guest, const struct change *change)
{
	u64 max = change->value ? MIN(change->value, guest->memory) : guest->memory;

	guest->max = MAX(max, guest->min);
}

static void set_limit(struct target_guest *guest, const struct change *change)
{
	bool none = !change->value || change->value >= guest->memory;

	guest->limit = none ? UINT64_MAX : MAX(change->value, guest->min);
}

static void set_shares(struct target_guest *guest, const struct change *change)
{
	u64 preset = MIN(MAX(guest->memory / MiB, 1UL) * 10, 1000000UL);

	guest->shares = change->value ? (u32)change->value : (u32)preset;
}

static const struct setting settings[] = {
	{ATTR_HOST, "memory", set_memory, NULL},
	{ATTR_HOST, "min_free", set_min_free, NULL},
	{ATTR_HOST, "state_pct", set_levels, NULL},
	{ATTR_HOST, "policy/idle_tax_pct", set_tax, NULL},
	{ATTR_HOST, "wss/cold_age_s", set_cold_age, NULL},
	{ATTR_HOST, "wss/promotion_rate_target", set_promotion, NULL},
	{ATTR_GUEST, "config/min", NULL, set_min},
	{ATTR_GUEST, "config/max", NULL, set_max},
	{ATTR_GUEST, "config/limit", NULL, set_limit},
	{ATTR_GUEST, "config/shares", NULL, set_shares},
};

static const struct setting *find_setting(enum attr_scope scope, const char *path)
{
	for (u32 i = 0; i < ARRAY_SIZE(settings); i++)
		if (settings[i].scope == scope && strcmp(settings[i].path, path) == 0)
			return &settings[i];
	return NULL;
}

static const struct attr *find_attr(const struct setting *setting)
{
	const struct attr_table *table = &attr_tables[setting->scope];

	for (u32 i = 0; i < table->count; i++)
		if (strcmp(table->attrs[i].path, setting->path) == 0)
			return &table->attrs[i];
	return NULL;
}

static int parse_value(struct change *change, const char *value, char *error, size_t size)
{
	const struct attr *attr = find_attr(change->setting);

	if (change->setting->host == set_levels) {
		if (!host_state_parse(value, change->pct))
			return 0;
		snprintf(error, size, "state_pct: `%.60s' should be five falling percentages",
			 value);
		return -EINVAL;
	}
	return attr_parse(attr, value, &change->value, error, size);
}

/* Takes "vm/NAME/" off a path, and notes the name. */
static const char *take_guest(const char *path, struct change *change)
{
	const char *rest;

	if (strncmp(path, "vm/", 3) != 0 || !(rest = strchr(path + 3, '/')))
		return path;
	snprintf(change->guest, sizeof(change->guest), "%.*s", (int)(rest - path - 3), path + 3);
	return rest + 1;
}

int whatif_set(struct whatif *whatif, const char *text, char *error, size_t size)
{
	const char *equals = strchr(text, '='), *rest;
	struct change change = {0}, *grown;
	char path[128];

	if (!equals || equals - text >= (ptrdiff_t)sizeof(path)) {
		snprintf(error, size, "%.60s: should be PATH=VALUE", text);
		return -EINVAL;
	}
	text += *text == '/';
	snprintf(path, sizeof(path), "%.*s", (int)(equals - text), text);
	rest = take_guest(path, &change);
	change.setting = find_setting(change.guest[0] ? ATTR_GUEST : ATTR_HOST, rest);
	if (!change.setting) {
		snprintf(error, size, "%.60s: is nothing that the policy's decisions depend on",
			 path);
		return -EINVAL;
	}
	if (parse_value(&change, equals + 1, error, size))
		return -EINVAL;
	grown = reallocarray(whatif->changes, whatif->change_count + 1, sizeof(*grown));
	if (!grown) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	whatif->changes = grown;
	whatif->changes[whatif->change_count++] = change;
	return 0;
}

static void change_host(const struct whatif *whatif, struct target_host *host)
{
	for (u32 i = 0; i < whatif->change_count; i++)
		if (whatif->changes[i].setting->host)
			whatif->changes[i].setting->host(host, &whatif->changes[i]);
}

static void change_guest(const struct whatif *whatif, const char *name, struct target_guest *guest)
{
	for (u32 i = 0; i < whatif->change_count; i++) {
		const struct change *change = &whatif->changes[i];

		if (change->setting->guest &&
		    (strcmp(change->guest, "*") == 0 || strcmp(change->guest, name) == 0))
			change->setting->guest(guest, change);
	}
}

/* ---- frames ---- */

/* The guest of a number, made when there is none; NULL: no memory. */
static struct whatif_guest *guest_of(struct whatif *whatif, u32 number)
{
	struct whatif_guest **guests;

	if (number >= whatif->guest_count) {
		guests = reallocarray(whatif->guests, number + 1UL, sizeof(struct whatif_guest *));
		if (!guests)
			return NULL;
		memset(guests + whatif->guest_count, 0,
		       (number + 1UL - whatif->guest_count) * sizeof(struct whatif_guest *));
		whatif->guests = guests;
		whatif->guest_count = number + 1;
	}
	if (!whatif->guests[number])
		whatif->guests[number] = calloc(1, sizeof(struct whatif_guest));
	return whatif->guests[number];
}

static int take_name(struct whatif *whatif, struct record_in *frame)
{
	struct record_guest said;
	struct whatif_guest *guest;

	if (record_get_guest(frame, &said) || said.number >= WHATIF_GUESTS_MAX ||
	    said.space >= MEMORY_MAX_SPACES)
		return -EBADMSG;
	guest = guest_of(whatif, said.number);
	if (!guest)
		return -ENOMEM;
	snprintf(guest->name, sizeof(guest->name), "%s", said.name);
	whatif->owners[said.space] = said.number + 1;
	return 0;
}

static int take_faults(struct whatif *whatif, struct record_in *frame)
{
	u64 since_ns = whatif->start_ns;
	struct trace_fault fault;
	u32 owner;
	int ret;

	while (!(ret = record_get_fault(frame, &fault, since_ns))) {
		since_ns = fault.ended_ns;
		whatif->totals.faults++;
		owner = fault.space < MEMORY_MAX_SPACES ? whatif->owners[fault.space] : 0;
		if (owner)
			hist_record(&whatif->guests[owner - 1]->faults[fault.state], fault.ns);
		else
			whatif->totals.foreign_faults++;
	}
	return ret == -ENODATA ? 0 : ret;
}

static void add_up(struct whatif_sum *sum, const struct target_decision *decision)
{
	sum->goal += decision->goal;
	sum->balloon += decision->balloon;
	sum->swap += decision->swap;
	sum->actions[MIN(decision->action, TARGET_DEFLATE)]++;
	sum->blocked += decision->block;
}

static bool same_kind(const struct target_decision *a, const struct target_decision *b)
{
	return a->action == b->action && a->reason == b->reason && a->block == b->block;
}

static bool same(const struct target_decision *a, const struct target_decision *b)
{
	return same_kind(a, b) && a->goal == b->goal && a->balloon == b->balloon &&
	       a->keep == b->keep && a->swap == b->swap && a->cold_ms == b->cold_ms;
}

static void tell_decision(FILE *out, const char *when, const struct target_decision *decision)
{
	fprintf(out, "  %-9s %s balloon to %lu MiB, goal %lu, swap %lu%s: %s\n", when,
		target_action_name(decision->action), decision->balloon / MiB, decision->goal / MiB,
		decision->swap / MiB, decision->block ? ", blocked" : "",
		target_reason_text(decision->reason));
}

static void tell(struct whatif *whatif, const struct record_step *step, u32 i, const char *name)
{
	u64 ms = step->host.now_ms - whatif->totals.first_ms;

	if (!whatif->out || !whatif->lines)
		return;
	whatif->lines--;
	fprintf(whatif->out, "%lu.%03lu s, %s%s%s, %s\n", ms / 1000, ms % 1000,
		host_state_name(step->after), step->after == whatif->state ? "" : ", would be ",
		step->after == whatif->state ? "" : host_state_name(whatif->state), name);
	tell_decision(whatif->out, "recorded:", &whatif->rows[i].decision);
	tell_decision(whatif->out, "now:", &whatif->decisions[i]);
}

static void compare(struct whatif *whatif, const struct record_step *step, u32 i)
{
	struct whatif_guest *guest = whatif->guests[whatif->rows[i].number];
	const struct target_decision *recorded = &whatif->rows[i].decision;
	const struct target_decision *now = &whatif->decisions[i];
	bool kind = !same_kind(recorded, now), any = !same(recorded, now);

	guest->memory = whatif->memories[i];
	guest->steps++;
	guest->differ += any;
	guest->differ_in_kind += kind;
	whatif->totals.decisions++;
	whatif->totals.differ += any;
	whatif->totals.differ_in_kind += kind;
	add_up(&guest->recorded, recorded);
	add_up(&guest->now, now);
	if (kind || (any && !whatif_changes(whatif)))
		tell(whatif, step, i, guest->name[0] ? guest->name : "a guest");
}

/* What the step is made from: as recorded, but for the changes. */
static int prepare(struct whatif *whatif, struct record_step *step)
{
	bool restated = true;

	for (u32 i = 0; i < step->count; i++) {
		const struct record_row *row = &whatif->rows[i];
		struct whatif_guest *guest =
			row->number < WHATIF_GUESTS_MAX ? guest_of(whatif, row->number) : NULL;

		if (!guest)
			return row->number < WHATIF_GUESTS_MAX ? -ENOMEM : -EBADMSG;
		whatif->inputs[i] = row->input;
		whatif->memories[i] = row->restated ? row->memory : guest->memory;
		restated &= row->restated;
		change_guest(whatif, guest->name, &whatif->inputs[i]);
	}
	/* The first step, or the first after some were dropped. */
	if (restated)
		whatif->state = step->before;
	change_host(whatif, &step->host);
	return 0;
}

static void count_step(struct whatif *whatif, const struct record_step *step)
{
	struct whatif_totals *totals = &whatif->totals;

	totals->last_ms = step->host.now_ms;
	totals->steps++;
	totals->states_differ += step->after != whatif->state;
	totals->state_steps[0][step->after]++;
	totals->state_steps[1][whatif->state]++;
}

static int take_step(struct whatif *whatif, struct record_in *frame)
{
	struct record_step step;
	int ret = record_get_step(frame, &step, whatif->rows);

	if (!ret)
		ret = prepare(whatif, &step);
	if (ret)
		return ret;
	if (!whatif->totals.steps)
		whatif->totals.first_ms = step.host.now_ms;
	whatif->state = target_step(whatif->state, &step.host, whatif->inputs, whatif->memories,
				    step.count, whatif->decisions);
	count_step(whatif, &step);
	for (u32 i = 0; i < step.count; i++)
		compare(whatif, &step, i);
	return 0;
}

int whatif_take(struct whatif *whatif, enum record_type type, struct record_in *frame)
{
	switch (type) {
	case RECORD_GUEST:
		return take_name(whatif, frame);
	case RECORD_STEP:
		return take_step(whatif, frame);
	case RECORD_FAULTS:
		return take_faults(whatif, frame);
	default:
		return -EBADMSG;
	}
}
