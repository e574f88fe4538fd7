/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libinih splits lines into keys and values. It reports neither line numbers nor sections, only
 * keys; so the function that hands it the lines counts them, and opens a section when it sees one:
 * thus an empty section, or one that is written twice, is noticed.
 *
 * The first error ends the reading: what follows it may be no more than its consequence.
 */
#include "ctl/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/config_key.h"
#include "ctl/parse.h"
#include "guest-driver/args.h"

#define LINE_MAX_BYTES	 1024
#define CONFIG_GUEST_MAX 4096U

struct reader {
	FILE *stream;
	const char *path;
	u32 line;
	bool failed;
	char *error;
	size_t size;

	struct host_config *config;
	u32 capacity; /* of config->guests */

	/* The section that is being read; keys == NULL before the first. */
	const struct config_keys *keys;
	char *base;
	u32 section_line;
	u64 seen; /* a bit per key of the table */
	bool host_seen, ksm_seen, policy_seen;
	bool guests_only; /* the host runs already */
	bool is_default;  /* this section is [guest-default] */
	struct guest_section guest;
};

static int fail(struct reader *reader, u32 line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Keeps the first message only. */
static int fail(struct reader *reader, u32 line, const char *format, ...)
{
	va_list args;
	int head;

	if (reader->failed)
		return -EINVAL;
	reader->failed = true;
	head = snprintf(reader->error, reader->size, "%s:%u: ", reader->path, line);
	if (head < 0 || (size_t)head >= reader->size)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(reader->error + head, reader->size - (size_t)head, format, args);
	va_end(args);
	return -EINVAL;
}

static bool key_seen(const struct reader *reader, const char *name)
{
	int index = config_key_find(reader->keys, name);

	return index >= 0 && reader->seen & 1ULL << index;
}

static int check_required(struct reader *reader)
{
	for (u32 i = 0; i < reader->keys->count; i++)
		if (reader->keys->keys[i].required && !(reader->seen & 1ULL << i))
			return fail(reader, reader->section_line, "this section needs `%s': %s",
				    reader->keys->keys[i].name, reader->keys->keys[i].help);
	return 0;
}

/* FNV-1a: guests of different names get different data and different random choices. */
static u64 seed_from_name(const char *name)
{
	u64 hash = 0xcbf29ce484222325ULL;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ULL;
	return hash;
}

static int add_guest(struct reader *reader, const struct guest_config *guest)
{
	struct host_config *config = reader->config;

	for (u32 i = 0; i < config->guest_count; i++)
		if (strcmp(config->guests[i].name, guest->name) == 0)
			return fail(reader, reader->section_line,
				    "there is a guest `%s' already: names must differ",
				    guest->name);
	if (config->guest_count == CONFIG_GUEST_MAX)
		return fail(reader, reader->section_line, "more than %u guests", CONFIG_GUEST_MAX);
	if (config->guest_count == reader->capacity) {
		u32 capacity = MAX(reader->capacity * 2, 16U);
		struct guest_config *guests =
			reallocarray(config->guests, capacity, sizeof(*guests));

		if (!guests)
			return fail(reader, reader->section_line, "out of memory");
		config->guests = guests;
		reader->capacity = capacity;
	}
	config->guests[config->guest_count++] = *guest;
	return 0;
}

static int add_guests(struct reader *reader)
{
	struct guest_config guest = reader->guest.guest;
	const char *name = reader->guest.guest.name;

	if (reader->guest.count == 1)
		return add_guest(reader, &guest);
	for (u32 i = 0; i < reader->guest.count; i++, guest.seed++) {
		int length = snprintf(guest.name, sizeof(guest.name), "%s-%u", name, i);

		if (length < 0 || (size_t)length >= sizeof(guest.name))
			return fail(reader, reader->section_line,
				    "`%s-%u' is too long: a name has at most %zu characters", name,
				    i, sizeof(guest.name) - 1);
		if (add_guest(reader, &guest))
			return -EINVAL;
	}
	return 0;
}

/* A guest with a kernel runs that, and has nothing of Ballast's own guests. */
static int check_kernel(struct reader *reader)
{
	static const char *const others[] = {"workload", "workload-args", "data"};
	struct guest_config *guest = &reader->guest.guest;

	for (u32 i = 0; i < ARRAY_SIZE(others); i++)
		if (key_seen(reader, others[i]))
			return fail(reader, reader->section_line,
				    "guest %s: `kernel' and `%s' exclude each other", guest->name,
				    others[i]);
	if (guest->vcpus != 1)
		return fail(reader, reader->section_line,
			    "guest %s: `kernel' boots on one CPU: `vcpus' must be 1", guest->name);
	snprintf(guest->workload, sizeof(guest->workload), "%s", ATTACH_WORKLOAD_LINUX);
	return 0;
}

static int check_workload(struct reader *reader)
{
	const struct guest_config *guest = &reader->guest.guest;
	enum guest_workload workload;
	struct guest_args args;
	char why[256];

	if (key_seen(reader, "cmdline"))
		return fail(reader, reader->section_line, "guest %s: `cmdline' needs a `kernel'",
			    guest->name);
	if (guest_args_parse(guest->workload, guest->args, &workload, &args, why, sizeof(why)))
		return fail(reader, reader->section_line, "guest %s: %s", guest->name, why);
	return 0;
}

static int find_user(const char *name, u32 *uid)
{
	const struct passwd *entry = getpwnam(name);
	u64 number;

	if (!entry && (parse_number(name, &number) || number > INT32_MAX))
		return -ENOENT;
	*uid = entry ? entry->pw_uid : (u32)number;
	return 0;
}

static int set_default(struct reader *reader)
{
	struct host_config *config = reader->config;

	if (key_seen(reader, "count"))
		return fail(reader, reader->section_line,
			    "[guest-default] is for any number of guests: it has no `count'");
	config->guest_default = malloc(sizeof(*config->guest_default));
	if (!config->guest_default)
		return fail(reader, reader->section_line, "out of memory");
	*config->guest_default = reader->guest.guest;
	return 0;
}

static int end_guest(struct reader *reader)
{
	struct guest_config *guest = &reader->guest.guest;
	char why[256];

	if (guest_tuning_check(&guest->tuning, guest->memory_bytes, why, sizeof(why)))
		return fail(reader, reader->section_line, "guest %s: %s", guest->name, why);
	if (guest->kernel[0] ? check_kernel(reader) : check_workload(reader))
		return -EINVAL;
	if (guest->user[0] && find_user(guest->user, &guest->uid))
		return fail(reader, reader->section_line, "guest %s: there is no user `%s'",
			    guest->name, guest->user);
	if (!key_seen(reader, "seed"))
		guest->seed = seed_from_name(guest->name);
	return reader->is_default ? set_default(reader) : add_guests(reader);
}

static int end_section(struct reader *reader)
{
	if (!reader->keys)
		return 0;
	if (check_required(reader))
		return -EINVAL;
	return reader->keys == &config_guest_keys ? end_guest(reader) : 0;
}

static int begin_host(struct reader *reader)
{
	if (reader->guests_only)
		return fail(reader, reader->line,
			    "the host runs already: only [guest NAME] sections can be added");
	if (reader->host_seen)
		return fail(reader, reader->line, "a second [host]: put all its keys into one");
	reader->host_seen = true;
	reader->keys = &config_host_keys;
	reader->base = (char *)reader->config;
	return 0;
}

static int begin_ksm(struct reader *reader)
{
	if (reader->ksm_seen)
		return fail(reader, reader->line, "a second [ksm]: put all its keys into one");
	reader->ksm_seen = true;
	reader->keys = &config_ksm_keys;
	reader->base = (char *)reader->config;
	return 0;
}

static int begin_policy(struct reader *reader)
{
	if (reader->policy_seen)
		return fail(reader, reader->line, "a second [policy]: put all its keys into one");
	reader->policy_seen = true;
	reader->keys = &config_policy_keys;
	reader->base = (char *)&reader->config->policy;
	return 0;
}

static int begin_guest(struct reader *reader, const char *name)
{
	if (!attach_name_is_valid(name))
		return fail(reader, reader->line, "[guest %s]: " ATTACH_NAME_RULE, name);
	reader->is_default = false;
	guest_config_defaults(&reader->guest.guest);
	memcpy(reader->guest.guest.name, name, strlen(name) + 1);
	reader->guest.count = 1;
	reader->keys = &config_guest_keys;
	reader->base = (char *)&reader->guest;
	return 0;
}

static int begin_default(struct reader *reader)
{
	if (reader->guests_only)
		return fail(reader, reader->line,
			    "the host runs already: only [guest NAME] sections can be added");
	if (reader->config->guest_default)
		return fail(reader, reader->line,
			    "a second [guest-default]: put all its keys into one");
	if (begin_guest(reader, "default"))
		return -EINVAL;
	reader->is_default = true;
	return 0;
}

/* `header` is what stands between the brackets. */
static int begin_section(struct reader *reader, const char *header)
{
	int ret;

	reader->section_line = reader->line;
	reader->seen = 0;
	reader->keys = NULL;
	if (strcmp(header, "host") == 0)
		ret = begin_host(reader);
	else if (strcmp(header, "policy") == 0)
		ret = begin_policy(reader);
	else if (strcmp(header, "ksm") == 0)
		ret = begin_ksm(reader);
	else if (strcmp(header, "guest-default") == 0)
		ret = begin_default(reader);
	else if (strncmp(header, "guest", 5) == 0 && isblank((unsigned char)header[5]))
		ret = begin_guest(reader, header + 5 + strspn(header + 5, " \t"));
	else
		ret = fail(
			reader, reader->line,
			"unknown section [%s]: there are [host], [policy], [ksm], [guest NAME] and "
			"[guest-default]",
			header);
	return ret;
}

/* Ends one section and begins the next at a line that starts with a bracket. */
static int change_section(struct reader *reader, const char *line)
{
	char header[LINE_MAX_BYTES];
	size_t length = strcspn(line + 1, "]");

	if (!line[1 + length])
		return fail(reader, reader->line, "a section ends with `]'");
	memcpy(header, line + 1, length);
	while (length && isblank((unsigned char)header[length - 1]))
		length--;
	header[length] = '\0';
	if (end_section(reader))
		return -EINVAL;
	return begin_section(reader, header);
}

/* inih's: fgets() that counts. Drops indentation, which would continue the previous key's value. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	size_t length, indent;

	if (reader->failed || !fgets(buffer, size, reader->stream))
		return NULL;
	reader->line++;
	length = strlen(buffer);
	if (length + 1 == (size_t)size && buffer[length - 1] != '\n') {
		fail(reader, reader->line, "line too long: at most %d characters", size - 2);
		return NULL;
	}
	indent = strspn(buffer, " \t");
	memmove(buffer, buffer + indent, length - indent + 1);
	if (buffer[0] == '[' && change_section(reader, buffer))
		return NULL;
	return buffer;
}

static const char *section_name(const struct config_keys *keys)
{
	if (keys == &config_policy_keys)
		return "policy";
	if (keys == &config_ksm_keys)
		return "ksm";
	return keys == &config_host_keys ? "host" : "guest";
}

static int unknown_key(struct reader *reader, const char *name)
{
	char known[512] = "";
	size_t at = 0;

	for (u32 i = 0; i < reader->keys->count && at < sizeof(known); i++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "",
				       reader->keys->keys[i].name);
	return fail(reader, reader->line, "unknown key `%s' in [%s]: there are %s", name,
		    section_name(reader->keys), known);
}

static int set_key(struct reader *reader, const char *name, const char *value)
{
	char why[256];
	int index;

	if (!reader->keys)
		return fail(reader, reader->line,
			    "`%s' stands before any section: begin with [host]", name);
	index = config_key_find(reader->keys, name);
	if (index < 0)
		return unknown_key(reader, name);
	if (reader->seen & 1ULL << index)
		return fail(reader, reader->line, "`%s' is given twice in this section", name);
	reader->seen |= 1ULL << index;
	if (config_key_set(&reader->keys->keys[index], reader->base, value, why, sizeof(why)))
		return fail(reader, reader->line, "%s", why);
	return 0;
}

/* inih's: non-zero is success. It names the section, but no longer than 49 characters. */
static int handle_key(void *user, const char *section, const char *name, const char *value)
{
	(void)section;
	return set_key(user, name, value ? value : "") == 0;
}

static int finish(struct reader *reader, int line)
{
	if (line > 0)
		return fail(reader, (u32)line,
			    "neither [section], `key = value' nor a comment (; or #)");
	if (line < 0)
		return fail(reader, reader->line, "out of memory");
	if (end_section(reader))
		return -EINVAL;
	if (!reader->host_seen && !reader->guests_only)
		return fail(reader, reader->line, "there is no [host] section");
	if (!reader->config->guest_count && !reader->config->guest_default)
		return fail(reader, reader->line, "there is no [guest NAME] section");
	return 0;
}

static int read_stream(struct reader *reader)
{
	int ret, line;

	host_config_defaults(reader->config);
	reader->config->guests = NULL;
	reader->config->guest_count = 0;
	/* inih's settings are variables of the library; its stack buffer holds 200 bytes only. */
	ini_use_stack = false;
	ini_initial_alloc = LINE_MAX_BYTES;
	ini_max_line = LINE_MAX_BYTES;

	line = ini_parse_stream(next_line, reader, handle_key, reader);
	ret = reader->failed ? -EINVAL : finish(reader, line);
	if (ret)
		config_free(reader->config);
	return ret;
}

int config_read_stream(FILE *stream, const char *path, struct host_config *config, char *error,
		       size_t size)
{
	struct reader reader = {
		.stream = stream, .path = path, .error = error, .size = size, .config = config};

	return read_stream(&reader);
}

int config_read_guests(FILE *stream, const char *path, struct host_config *config, char *error,
		       size_t size)
{
	struct reader reader = {
		.stream = stream,
		.path = path,
		.guests_only = true,
		.error = error,
		.size = size,
		.config = config,
	};

	return read_stream(&reader);
}

int config_read(const char *path, struct host_config *config, char *error, size_t size)
{
	FILE *stream = fopen(path, "re");
	int ret;

	if (!stream) {
		ret = -errno;
		snprintf(error, size, "%s: cannot open: %s", path, strerror(-ret));
		return ret;
	}
	ret = config_read_stream(stream, path, config, error, size);
	fclose(stream);
	return ret;
}

void config_free(struct host_config *config)
{
	free(config->guest_default);
	config->guest_default = NULL;
	free(config->guests);
	config->guests = NULL;
	config->guest_count = 0;
}
