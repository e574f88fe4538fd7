// SPDX-License-Identifier: Apache-2.0
/*
 * One table of keys: what each is called, which workloads use it, where it goes, and how its value
 * is read. A message names the key, the value, and what would be right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guest-driver/args.h"

#define TEXT_MAX 64
#define ALL	 ((1U << GUEST_WORKLOADS) - 1)
#define KV	 (1U << GUEST_KV)
#define PHASE	 (1U << GUEST_PHASE)
#define PAGES	 (ALL & ~KV)

struct arg_key {
	const char *name;
	u32 workloads; /* a bit for each that uses it */
	/* Reads text into *value: false when it is not of this form. */
	bool (*read)(const char *text, u64 *value);
	void (*store)(struct guest_args *args, u64 value);
	u64 least;
	u64 most;
	const char *form; /* for messages */
};

static const char *const names[GUEST_WORKLOADS] = {
	[GUEST_FILL] = "fill",	 [GUEST_KV] = "kv",	[GUEST_SWEEP] = "sweep",
	[GUEST_PHASE] = "phase", [GUEST_IDLE] = "idle",
};

/* Idle guests are what makes overcommit pay: they hold memory and hardly use it. */
static const struct guest_args defaults[GUEST_WORKLOADS] = {
	[GUEST_FILL] = {.fill_percent = 80,
			.write_percent = 20,
			.zero_percent = 5,
			.same_percent = 5,
			.random_percent = 10},
	[GUEST_KV] = {.fill_percent = 80, .write_percent = 5},
	[GUEST_SWEEP] = {.fill_percent = 80,
			 .write_percent = 10,
			 .zero_percent = 5,
			 .same_percent = 5,
			 .random_percent = 10},
	[GUEST_PHASE] = {.fill_percent = 80,
			 .write_percent = 10,
			 .zero_percent = 5,
			 .same_percent = 5,
			 .random_percent = 10},
	[GUEST_IDLE] = {.fill_percent = 50,
			.write_percent = 10,
			.zero_percent = 20,
			.same_percent = 5,
			.random_percent = 10},
};

const char *guest_workload_name(enum guest_workload workload)
{
	return workload < GUEST_WORKLOADS ? names[workload] : "unknown";
}

/* A decimal number and where it ends; strtoull alone would take signs and blanks. */
static bool read_digits(const char *text, u64 *value, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	*end = stop;
	return !errno;
}

/* value *= factor, where a factor of 0 is an unknown unit. */
static bool scale(u64 *value, u64 factor)
{
	return factor && !__builtin_mul_overflow(*value, factor, value);
}

static u64 suffix_factor(const char *suffix, u64 kilo)
{
	if (!*suffix)
		return 1;
	if (!strcasecmp(suffix, "k"))
		return kilo;
	if (!strcasecmp(suffix, "m"))
		return kilo * kilo;
	return strcasecmp(suffix, "g") ? 0 : kilo * kilo * kilo;
}

static bool read_percent(const char *text, u64 *value)
{
	const char *end;

	return read_digits(text, value, &end) && (!*end || !strcmp(end, "%"));
}

static bool read_bytes(const char *text, u64 *value)
{
	const char *end;

	return read_digits(text, value, &end) && scale(value, suffix_factor(end, KiB));
}

static bool read_count(const char *text, u64 *value)
{
	const char *end;

	return read_digits(text, value, &end) && scale(value, suffix_factor(end, 1000));
}

/* Microseconds; 0 needs no unit. */
static bool read_time(const char *text, u64 *value)
{
	static const struct {
		const char *name;
		u64 factor;
	} units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}};
	const char *end;

	if (!read_digits(text, value, &end))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!strcmp(end, units[i].name))
			return scale(value, units[i].factor);
	}
	return !*end && !*value;
}

/* Permille of a decimal fraction: "0.99" is 990. Digits beyond the third are an error. */
static bool read_fraction(const char *text, u64 *value)
{
	u64 unit = 1000, digits = 0;
	const char *end;

	if (!read_digits(text, value, &end) || !scale(value, unit))
		return false;
	if (*end != '.')
		return !*end;
	for (end++; *end >= '0' && *end <= '9' && digits < 3; end++, digits++)
		*value += (u64)(*end - '0') * (unit /= 10);
	return digits && !*end;
}

static bool read_mix(const char *text, u64 *value)
{
	static const u32 writes[] = {['A'] = 50, ['B'] = 5, ['C'] = 0};

	if (*text < 'A' || *text > 'C' || text[1])
		return false;
	*value = writes[(u8)*text];
	return true;
}

static bool read_verify(const char *text, u64 *value)
{
	*value = !strcmp(text, "end");
	return *value || !strcmp(text, "no");
}

static void store_fill(struct guest_args *args, u64 value)
{
	args->fill_percent = (u32)value;
}

static void store_write(struct guest_args *args, u64 value)
{
	args->write_percent = (u32)value;
}

static void store_common(struct guest_args *args, u64 value)
{
	args->common_percent = (u32)value;
}

static void store_zero(struct guest_args *args, u64 value)
{
	args->zero_percent = (u32)value;
}

static void store_same(struct guest_args *args, u64 value)
{
	args->same_percent = (u32)value;
}

static void store_random(struct guest_args *args, u64 value)
{
	args->random_percent = (u32)value;
}

static void store_rewrite(struct guest_args *args, u64 value)
{
	args->rewrite_ms = (u32)((value + 999) / 1000);
}

static void store_fill_time(struct guest_args *args, u64 value)
{
	args->fill_ms = (u32)((value + 999) / 1000);
}

static void store_think(struct guest_args *args, u64 value)
{
	args->think_us = (u32)value;
}

static void store_ops(struct guest_args *args, u64 value)
{
	args->ops = value;
}

static void store_verify(struct guest_args *args, u64 value)
{
	args->verify_end = (u32)value;
}

static void store_theta(struct guest_args *args, u64 value)
{
	args->theta_permille = (u32)value;
}

static void store_value(struct guest_args *args, u64 value)
{
	args->value_bytes = (u32)value;
}

static void store_phase(struct guest_args *args, u64 value)
{
	args->phase_ms = (u32)(value / 1000);
}

static void store_phase_size(struct guest_args *args, u64 value)
{
	args->phase_percent = (u32)value;
}

static bool read_turn(const char *text, u64 *value)
{
	*value = !strcmp(text, "rest");
	return *value || !strcmp(text, "work");
}

static void store_phase_ops(struct guest_args *args, u64 value)
{
	args->phase_ops = (u32)value;
}

static void store_turn(struct guest_args *args, u64 value)
{
	args->turn_ms = (u32)(value / 1000);
}

static void store_turn_first(struct guest_args *args, u64 value)
{
	args->rest_first = (u32)value;
}

static void store_cache(struct guest_args *args, u64 value)
{
	args->cache_percent = (u32)value;
}

static void store_churn(struct guest_args *args, u64 value)
{
	args->churn_percent = (u32)value;
}

static bool read_free(const char *text, u64 *value)
{
	*value = !strcmp(text, "touched");
	return *value || !strcmp(text, "untouched");
}

static bool read_report(const char *text, u64 *value)
{
	*value = !strcmp(text, "no");
	return *value || !strcmp(text, "yes");
}

static bool read_scatter(const char *text, u64 *value)
{
	*value = !strcmp(text, "yes");
	return *value || !strcmp(text, "no");
}

static void store_scatter(struct guest_args *args, u64 value)
{
	args->scatter = (u32)value;
}

/* One more than the word: 0 is none. */
static bool read_poison(const char *text, u64 *value)
{
	const char *end;

	*value = 0;
	if (!strcmp(text, "no"))
		return true;
	if (!read_digits(text, value, &end) || *end)
		return false;
	++*value;
	return true;
}

static void store_poison(struct guest_args *args, u64 value)
{
	args->poisons = value != 0;
	args->poison = (u32)(value - 1);
}

static void store_free(struct guest_args *args, u64 value)
{
	args->touch_free = (u32)value;
}

static void store_report(struct guest_args *args, u64 value)
{
	args->no_reports = (u32)value;
}

static bool read_after(const char *text, u64 *value)
{
	*value = !strcmp(text, "hold");
	return *value || !strcmp(text, "end");
}

static bool read_begin(const char *text, u64 *value)
{
	*value = !strcmp(text, "together");
	return *value || !strcmp(text, "filled");
}

static void store_begin(struct guest_args *args, u64 value)
{
	args->together = (u32)value;
}

static void store_after(struct guest_args *args, u64 value)
{
	args->hold = (u32)value;
}

/* `mix` stands before `write`: keys are stored in this order, so that `write` wins. */
static const struct arg_key keys[] = {
	{"mix", KV, read_mix, store_write, 0, 100, "A, B or C"},
	{"fill", ALL, read_percent, store_fill, 1, 100, "1% .. 100%"},
	{"write", ALL, read_percent, store_write, 0, 100, "0% .. 100%"},
	{"common", ALL, read_percent, store_common, 0, 100, "0% .. 100%"},
	{"zero", ALL, read_percent, store_zero, 0, 100, "0% .. 100%"},
	{"same", ALL, read_percent, store_same, 0, 100, "0% .. 100%"},
	{"random", ALL, read_percent, store_random, 0, 100, "0% .. 100%"},
	{"rewrite", ALL & ~KV, read_time, store_rewrite, 0, 3600000000, "0 .. 1h, as in 30s"},
	{"fill-time", ALL, read_time, store_fill_time, 0, 3600000000, "0 .. 1h, as in 20s"},
	{"think", ALL, read_time, store_think, 0, 1000000, "0 .. 1s, as in 50us"},
	{"ops", ALL, read_count, store_ops, 0, UINT64_MAX, "a number of operations, as in 100000"},
	{"begin", ALL, read_begin, store_begin, 0, 1, "filled or together"},
	{"after", ALL, read_after, store_after, 0, 1, "end or hold"},
	{"turn", ALL, read_time, store_turn, 10000, 3600000000, "10ms .. 1h, as in 15s"},
	{"turn-first", ALL, read_turn, store_turn_first, 0, 1, "work or rest"},
	{"verify", ALL, read_verify, store_verify, 0, 1, "end or no"},
	{"theta", KV, read_fraction, store_theta, 0, 999, "0 .. 0.999"},
	{"value", KV, read_bytes, store_value, 32, 64 * KiB, "32 .. 64K"},
	{"phase", PHASE, read_time, store_phase, 10000, 3600000000, "10ms .. 1h, as in 2s"},
	{"phase-ops", PHASE, read_count, store_phase_ops, 0, UINT32_MAX,
	 "a number of operations, as in 10000"},
	{"cache", PAGES, read_percent, store_cache, 0, 90, "0% .. 90%"},
	{"churn", ALL, read_percent, store_churn, 0, 90, "0% .. 90%"},
	{"free", ALL, read_free, store_free, 0, 1, "touched or untouched"},
	{"report", ALL, read_report, store_report, 0, 1, "yes or no"},
	{"scatter", ALL, read_scatter, store_scatter, 0, 1, "yes or no"},
	{"poison", ALL, read_poison, store_poison, 0, 1UL + UINT32_MAX, "no or 0 .. 4294967295"},
	{"phase-size", PHASE, read_percent, store_phase_size, 1, 100, "1% .. 100%"},
};

/* What has been read so far: an entry for each of keys[]. */
struct arg_values {
	u64 value[ARRAY_SIZE(keys)];
	bool given[ARRAY_SIZE(keys)];
};

static int find_workload(const char *name, enum guest_workload *kind)
{
	for (u32 i = 0; i < GUEST_WORKLOADS; i++) {
		if (!strcmp(name, names[i])) {
			*kind = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The keys this workload uses, for a message. */
static void list_keys(enum guest_workload kind, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys) && length < size; i++) {
		if (keys[i].workloads & 1U << kind)
			length += (size_t)snprintf(text + length, size - length, "%s%s",
						   length ? ", " : "", keys[i].name);
	}
}

static int find_key(const char *name, enum guest_workload kind, size_t *index, char *error,
		    size_t size)
{
	char known[240];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(name, keys[i].name))
			continue;
		*index = i;
		if (keys[i].workloads & 1U << kind)
			return 0;
		break;
	}
	list_keys(kind, known, sizeof(known));
	snprintf(error, size, "workload %s has no argument '%s' (it has: %s)", names[kind], name,
		 known);
	return -EINVAL;
}

/* word is "key=value"; it is cut in two in place. */
static int parse_word(char *word, enum guest_workload kind, struct arg_values *values, char *error,
		      size_t size)
{
	char *text = strchr(word, '=');
	const struct arg_key *key;
	size_t i = 0;

	if (!text) {
		snprintf(error, size, "workload argument '%s' has no value: write %s=...", word,
			 word);
		return -EINVAL;
	}
	*text++ = '\0';
	if (find_key(word, kind, &i, error, size))
		return -EINVAL;
	key = &keys[i];
	if (values->given[i]) {
		snprintf(error, size, "workload argument '%s' is given twice", word);
		return -EINVAL;
	}
	if (!key->read(text, &values->value[i]) || values->value[i] < key->least ||
	    values->value[i] > key->most) {
		snprintf(error, size, "workload argument %s=%s: expected %s", word, text,
			 key->form);
		return -EINVAL;
	}
	values->given[i] = true;
	return 0;
}

static int parse_words(const char *text, enum guest_workload kind, struct arg_values *values,
		       char *error, size_t size)
{
	static const char separators[] = " \t,";
	char word[TEXT_MAX];
	size_t length;

	for (text += strspn(text, separators); *text; text += strspn(text, separators)) {
		length = strcspn(text, separators);
		if (length >= sizeof(word)) {
			snprintf(error, size, "workload argument '%.20s...' is longer than any",
				 text);
			return -EINVAL;
		}
		memcpy(word, text, length);
		word[length] = '\0';
		if (parse_word(word, kind, values, error, size))
			return -EINVAL;
		text += length;
	}
	return 0;
}

/* What only one workload uses has one default; it does no harm to the others. */
static void set_defaults(enum guest_workload kind, struct guest_args *args)
{
	*args = defaults[kind];
	args->theta_permille = 990;
	args->value_bytes = KiB;
	args->phase_ms = 2000;
	args->phase_percent = 25;
	args->verify_end = 1;
}

int guest_args_parse(const char *workload, const char *args, enum guest_workload *kind,
		     struct guest_args *parsed, char *error, size_t error_size)
{
	struct arg_values values = {0};
	u32 mixed;

	if (find_workload(workload, kind)) {
		snprintf(error, error_size,
			 "unknown workload '%s': there are fill, kv, sweep, phase and idle",
			 workload);
		return -EINVAL;
	}
	if (args && parse_words(args, *kind, &values, error, error_size))
		return -EINVAL;
	set_defaults(*kind, parsed);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (values.given[i])
			keys[i].store(parsed, values.value[i]);
	}
	mixed = parsed->zero_percent + parsed->same_percent + parsed->random_percent;
	if (mixed > 100) {
		snprintf(error, error_size,
			 "workload arguments zero, same and random add up to %u%%: at most 100%%",
			 mixed);
		return -EINVAL;
	}
	return 0;
}
