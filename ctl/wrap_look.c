/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's options, as far as a guest's memory is concerned. QEMU has options in three syntaxes: `-m 512`,
 * `-m size=512M,maxmem=1G` and JSON; what is not understood is left to QEMU to judge.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/parse.h"
#include "ctl/wrap.h"

#define DEFAULT_BYTES (128 * MiB) /* QEMU's */

/* The value of `key` in a list "key=value,key=value", or in JSON: "key":"value". False: it is not there. */
static bool find_value(const char *list, const char *key, char *value, size_t size)
{
	size_t length = strlen(key);

	for (const char *at = strstr(list, key); at; at = strstr(at + 1, key)) {
		bool json = at > list && at[-1] == '"' && at[length] == '"';
		const char *from = at + length + json;

		if (!json && at > list && at[-1] != ',')
			continue;
		if (json)
			from += strspn(from, " ");
		if (*from != (json ? ':' : '='))
			continue;
		from++;
		if (json)
			from += strspn(from, " \"");
		snprintf(value, size, "%.*s", (int)strcspn(from, json ? ",\"}" : ","), from);
		return true;
	}
	return false;
}

/* A size of QEMU's, where a bare number is MiB. */
static int parse_mib(const char *text, u64 *bytes)
{
	u64 number;

	if (!parse_number(text, &number)) {
		*bytes = number * MiB;
		return number < (1ULL << 40) ? 0 : -EINVAL;
	}
	return parse_size(text, bytes);
}

static int look_at_memory(const char *value, struct wrap_view *view, char *why, size_t size)
{
	char text[64];
	int err = 0;

	if (!find_value(value, "size", text, sizeof(text)))
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, ","), value);
	if (!strchr(text, '='))
		err = parse_mib(text, &view->bytes);
	view->max_bytes = MAX(view->max_bytes, view->bytes);
	if (!err && find_value(value, "maxmem", text, sizeof(text)))
		err = parse_mib(text, &view->max_bytes);
	if (err)
		snprintf(why, size, "-m %s: not a size", value);
	return err;
}

static int look_at_cpus(const char *value, struct wrap_view *view, char *why, size_t size)
{
	char text[64];
	u64 number;

	if (!find_value(value, "maxcpus", text, sizeof(text)) &&
	    !find_value(value, "cpus", text, sizeof(text)))
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, ","), value);
	if (strchr(text, '='))
		return 0; /* sockets=2,cores=4: one will do, it is for averages */
	if (parse_number(text, &number) || !number || number > 4096) {
		snprintf(why, size, "-smp %s: not a number of CPUs", value);
		return -EINVAL;
	}
	view->vcpus = (u32)number;
	return 0;
}

static void look_at_object(const char *value, struct wrap_view *view)
{
	size_t at = strlen(view->paths);
	char path[512];

	if (!strstr(value, "memory-backend-"))
		return;
	view->backend = true;
	if (find_value(value, "mem-path", path, sizeof(path)))
		snprintf(view->paths + at, sizeof(view->paths) - at, "%s%s", at ? ":" : "", path);
}

static void look_at_name(const char *value, struct wrap_view *view)
{
	if (!find_value(value, "guest", view->name, sizeof(view->name)))
		snprintf(view->name, sizeof(view->name), "%.*s", (int)strcspn(value, ","), value);
}

static bool names_kvm(const char *value)
{
	char text[32];

	return !strncmp(value, "kvm", 3) ||
	       (find_value(value, "accel", text, sizeof(text)) && !strncmp(text, "kvm", 3));
}

/* What libvirt asks before it starts a guest, and people. */
static bool asks(const char *option, const char *value)
{
	static const char *const questions[] = {"-version", "-help", "-h"};
	bool machine = !strcmp(option, "-machine") || !strcmp(option, "-M");

	for (u32 i = 0; i < ARRAY_SIZE(questions); i++)
		if (!strcmp(option, questions[i]))
			return true;
	return (machine && !strncmp(value, "none", 4)) ||
	       (option[0] == '-' && !strcmp(value, "help"));
}

int wrap_look(int argc, char *const *argv, struct wrap_view *view, char *why, size_t size)
{
	int err = 0;

	*view = (struct wrap_view){.bytes = DEFAULT_BYTES, .max_bytes = DEFAULT_BYTES, .vcpus = 1};
	for (int i = 0; i < argc && !err; i++) {
		const char *option = argv[i] + (argv[i][0] == '-' && argv[i][1] == '-');
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		view->no_guest |= asks(option, value);
		if (!strcmp(option, "-m"))
			err = look_at_memory(value, view, why, size);
		else if (!strcmp(option, "-smp"))
			err = look_at_cpus(value, view, why, size);
		else if (!strcmp(option, "-object"))
			look_at_object(value, view);
		else if (!strcmp(option, "-name"))
			look_at_name(value, view);
		else if (!strcmp(option, "-enable-kvm") || !strcmp(option, "-accel") ||
			 !strcmp(option, "-machine") || !strcmp(option, "-M"))
			view->kvm |= !strcmp(option, "-enable-kvm") || names_kvm(value);
	}
	return err;
}
