/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: what is understood, what is refused, and where the message points. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/config.h"
#include "ctl/config_key.h"
#include "manager/salts.h"

#define HOST_LINE  "[host]\nmemory = 1G\n"
#define GUEST_LINE "[guest web]\nmemory = 64M\n"

static struct host_config config;
static char error[1024];

static int read_text(const char *text)
{
	FILE *stream = fmemopen((char *)text, strlen(text), "r");
	int ret;

	cr_assert_not_null(stream);
	error[0] = '\0';
	ret = config_read_stream(stream, "x.ini", &config, error, sizeof(error));
	fclose(stream);
	return ret;
}

/* The text is refused, at that line, in words that contain `what`. */
static void refused(const char *text, u32 line, const char *what)
{
	char where[32];

	snprintf(where, sizeof(where), "x.ini:%u: ", line);
	cr_expect_eq(read_text(text), -EINVAL, "accepted: %s", text);
	cr_expect_eq(strncmp(error, where, strlen(where)), 0, "%s: not %s", error, where);
	cr_expect_not_null(strstr(error, what), "%s: lacks `%s'", error, what);
}

Test(ctl_config, every_key_arrives)
{
	cr_assert_eq(
		read_text("[host]\nname = rack7\nmemory = 1.5G\nswap-file = /tmp/s ; a comment\n"
			  "swap-size = 4G\nswap-keep = yes\npool-percent = 30%\n"
			  "accept-threshold-percent = 90\n"
			  "acceleration = 3\ncgroup = no\naccel = thread\nhuge-pages = no\n"
			  "fault-poll-us = 20\nsample-ms = 500\ndata-size = 8M\nfor = 2m\n"
			  "\n# another\n[guest db-1]\n  memory = 64M\n\tvcpus: 2\n"
			  "workload = kv\nworkload-args = mix=B fill=80%\ndata = /usr/bin\n"
			  "node = 1\nseed = 42\nsalt = tenant 7\n[ksm]\nsalting = 1\n"
			  "share-before-swap = no\n"),
		0, "%s", error);
	cr_expect_str_eq(config.name, "rack7");
	cr_expect_eq(config.memory_bytes, 1536 * MiB);
	cr_expect_str_eq(config.swap_file, "/tmp/s");
	cr_expect_eq(config.swap_bytes, 4 * GiB);
	cr_expect(config.swap_keep && !config.cgroup && !config.huge_pages);
	cr_expect_eq(config.pool_percent, 30);
	cr_expect_eq(config.accept_percent, 90);
	cr_expect_eq(config.acceleration, 3);
	cr_expect_eq(config.accel, ATTACH_ACCEL_THREAD);
	cr_expect_eq(config.fault_poll_us, 20);
	cr_expect_eq(config.salting, SALTING_SOME);
	cr_expect_not(config.share_before_swap);
	cr_expect_str_eq(config.guests[0].salt, "tenant 7");
	cr_expect_eq(config.sample_ms, 500);
	cr_expect_eq(config.data_bytes, 8 * MiB);
	cr_expect_eq(config.run_seconds, 120);
	cr_assert_eq(config.guest_count, 1);
	cr_expect_str_eq(config.guests[0].name, "db-1");
	cr_expect_eq(config.guests[0].memory_bytes, 64 * MiB);
	cr_expect_eq(config.guests[0].vcpus, 2);
	cr_expect_str_eq(config.guests[0].workload, "kv");
	cr_expect_str_eq(config.guests[0].args, "mix=B fill=80%");
	cr_expect_str_eq(config.guests[0].data, "/usr/bin");
	cr_expect_eq(config.guests[0].node, 1);
	cr_expect_eq(config.guests[0].seed, 42);
	config_free(&config);
}

Test(ctl_config, count_makes_guests_alike_with_seeds_of_their_own)
{
	cr_assert_eq(read_text(HOST_LINE GUEST_LINE "count = 3\nseed = 10\n"), 0, "%s", error);
	cr_assert_eq(config.guest_count, 3);
	cr_expect_str_eq(config.guests[0].name, "web-0");
	cr_expect_str_eq(config.guests[2].name, "web-2");
	cr_expect_eq(config.guests[2].seed, 12);
	config_free(&config);
}

Test(ctl_config, guests_of_different_names_have_different_seeds)
{
	cr_assert_eq(read_text(HOST_LINE GUEST_LINE "[guest db]\nmemory = 64M\n"), 0, "%s", error);
	cr_expect_neq(config.guests[0].seed, config.guests[1].seed);
	config_free(&config);
}

Test(ctl_config, unknown_things_are_refused_where_they_stand)
{
	refused(HOST_LINE "memroy = 2G\n" GUEST_LINE, 3, "unknown key `memroy'");
	refused(HOST_LINE "vcpus = 2\n" GUEST_LINE, 3, "unknown key `vcpus' in [host]");
	refused(HOST_LINE "\n[gest web]\n", 4, "unknown section [gest web]");
	refused("memory = 1G\n", 1, "before any section");
	refused(HOST_LINE "what is this\n" GUEST_LINE, 3, "neither [section]");
	refused(HOST_LINE "[guest web\nmemory = 64M\n", 3, "ends with `]'");
}

Test(ctl_config, duplicates_are_refused)
{
	refused(HOST_LINE "memory = 2G\n" GUEST_LINE, 3, "given twice");
	refused(HOST_LINE GUEST_LINE "[host]\n", 5, "second [host]");
	refused(HOST_LINE GUEST_LINE GUEST_LINE, 5, "there is a guest `web' already");
	refused(HOST_LINE "[guest web-1]\nmemory=64M\n" GUEST_LINE "count = 2\n", 5,
		"there is a guest `web-1' already");
}

Test(ctl_config, bad_values_say_what_is_allowed)
{
	refused("[host]\nmemory = lots\n", 2, "a size from 32M to 64T");
	refused("[host]\nmemory = 1M\n", 2, "a size from 32M");
	refused("[host]\nmemory = 33M\n", 2, "32M or 34M would do");
	refused(HOST_LINE "pool-percent = 81\n", 3, "from 0% to 80%");
	refused(HOST_LINE "cgroup = maybe\n", 3, "`yes` or `no`");
	refused(HOST_LINE "accel = hvf\n", 3, "`auto`, `kvm` or `thread`");
	refused(HOST_LINE "for = soon\n", 3, "a duration");
	refused(HOST_LINE "[guest web]\nvcpus = 17\n", 4, "from 1 to 16");
	refused(HOST_LINE "[guest web]\nmemory = 4M\n", 4, "a size from 8M");
	refused(HOST_LINE "[guest web]\nnode = -1\n", 4, "or `any`");
	refused(HOST_LINE "[guest web]\nmemory =\n", 4, "a size");
}

Test(ctl_config, guest_names_are_plain)
{
	refused(HOST_LINE "[guest a/b]\n", 3, "a name is");
	refused(HOST_LINE "[guest .]\n", 3, "a name is");
	refused(HOST_LINE "[guest ..]\n", 3, "does not begin with a dot");
	refused(HOST_LINE "[guest .web]\n", 3, "a name is");
	refused(HOST_LINE "[guest ]\n", 3, "unknown section");
	refused(HOST_LINE
		"[guest 0123456789012345678901234567890123456789012345678901234567890123]\n",
		3, "a name is");
	refused(HOST_LINE
		"[guest 012345678901234567890123456789012345678901234567890123456789012]\n"
		"memory = 64M\ncount = 2\n",
		3, "too long");
}

Test(ctl_config, a_name_of_full_length_is_not_cut)
{
	cr_assert_eq(
		read_text(
			HOST_LINE
			"[guest 012345678901234567890123456789012345678901234567890123456789012]\n"
			"memory = 64M\n"),
		0, "%s", error);
	cr_expect_eq(strlen(config.guests[0].name), 63);
	config_free(&config);
}

Test(ctl_config, what_is_required_is_asked_for)
{
	refused("[guest web]\nmemory = 64M\n", 2, "no [host]");
	refused(HOST_LINE, 2, "no [guest NAME]");
	refused("[host]\n" GUEST_LINE, 1, "needs `memory'");
	refused(HOST_LINE "[guest web]\n", 3, "needs `memory'");
	refused(HOST_LINE "[guest web]\n"
			  "[guest db]\nmemory = 64M\n",
		3, "needs `memory'");
	refused("", 0, "no [host]");
}

Test(ctl_config, a_workload_is_checked_before_anything_starts)
{
	refused(HOST_LINE GUEST_LINE "workload = bogus\n", 3, "bogus");
}

Test(ctl_config, a_kernel_replaces_the_workload)
{
	cr_assert_eq(read_text(HOST_LINE GUEST_LINE
			       "kernel = /boot/vmlinux\ncmdline = console=ttyS0 root=/dev/vda\n"),
		     0, "%s", error);
	cr_expect_str_eq(config.guests[0].kernel, "/boot/vmlinux");
	cr_expect_str_eq(config.guests[0].workload, "linux");
	cr_expect_str_eq(config.guests[0].args, "console=ttyS0 root=/dev/vda");
	config_free(&config);
}

Test(ctl_config, a_kernel_and_a_workload_exclude_each_other)
{
	refused(HOST_LINE GUEST_LINE "kernel = v\nworkload = kv\n", 3, "exclude each other");
	refused(HOST_LINE GUEST_LINE "kernel = v\nworkload-args = fill=1%\n", 3, "exclude");
	refused(HOST_LINE GUEST_LINE "kernel = v\ndata = /usr/bin\n", 3, "exclude");
	refused(HOST_LINE GUEST_LINE "kernel = v\nvcpus = 2\n", 3, "`vcpus' must be 1");
	refused(HOST_LINE GUEST_LINE "cmdline = quiet\n", 3, "`cmdline' needs a `kernel'");
	refused(HOST_LINE GUEST_LINE "workload = linux\n", 3, "linux");
}

Test(ctl_config, long_lines_are_refused_not_cut)
{
	static char text[4000];
	size_t head = (size_t)snprintf(text, sizeof(text), HOST_LINE "swap-file = ");

	memset(text + head, 'x', 600);
	refused(text, 3, "has 600 characters");
	memset(text + head, 'x', 3000);
	refused(text, 3, "line too long");
}

Test(ctl_config, a_file_that_is_not_there_is_named)
{
	cr_expect_eq(config_read("/nonexistent/x.ini", &config, error, sizeof(error)), -ENOENT);
	cr_expect_not_null(strstr(error, "/nonexistent/x.ini: cannot open"));
}

/* The documented default, read as a user's value, is what the code's default is. */
static void presets_hold(const struct config_keys *keys, const char *defaults, char *copy,
			 size_t size)
{
	for (u32 i = 0; i < keys->count; i++) {
		const struct config_key *key = &keys->keys[i];

		if (!key->preset)
			continue;
		cr_expect_eq(config_key_set(key, copy, key->preset, error, sizeof(error)), 0, "%s",
			     error);
		cr_expect_eq(memcmp(copy, defaults, size), 0, "default of %s", key->name);
	}
}

/* Which of the guests a, b (salt x), c (salt x), d (salt y) and e share a domain. */
static void domains_are(const char *salting, const char *expected)
{
	char text[512], domains[8] = "";
	struct salts salts = {0};

	snprintf(text, sizeof(text),
		 HOST_LINE "[guest a]\nmemory = 8M\n[guest b]\nmemory = 8M\nsalt = x\n"
			   "[guest c]\nmemory = 8M\nsalt = x\n[guest d]\nmemory = 8M\nsalt = y\n"
			   "[guest e]\nmemory = 8M\n[ksm]\n%s",
		 salting);
	cr_assert_eq(read_text(text), 0, "%s", error);
	salts.salting = config.salting;
	for (u32 i = 0; i < config.guest_count; i++) {
		u32 first = 0;

		while (salts_domain(&salts, salts.salting, config.guests[first].salt, first) !=
		       salts_domain(&salts, salts.salting, config.guests[i].salt, i))
			first++;
		domains[i] = config.guests[first].name[0];
	}
	cr_expect_str_eq(domains, expected, "%s", salting);
	salts_free(&salts);
	config_free(&config);
}

Test(ctl_config, salting_makes_sharing_domains)
{
	domains_are("", "abbde");
	domains_are("salting = 0\n", "aaaaa");
	domains_are("salting = 1\n", "abbda");
	domains_are("salting = 2\n", "abbde");
	refused(HOST_LINE "[ksm]\nsalting = 3\n", 4, "from 0 to 2");
	refused(HOST_LINE "[ksm]\n[ksm]\n", 4, "a second [ksm]");
}

/* Numbers of thousands of salts, and of guests without one: no two are the same, and each stays. */
Test(ctl_config, two_salts_never_meet)
{
	enum { COUNT = 3000 };
	struct salts salts = {.salting = SALTING_ALL};
	static u32 domains[COUNT];
	char salt[32];

	for (u32 i = 0; i < COUNT; i++) {
		snprintf(salt, sizeof(salt), "tenant %u", i);
		domains[i] = salts_domain(&salts, salts.salting, salt, i);
		cr_assert_gt(domains[i], salts_domain(&salts, salts.salting, "", (1U << 30) - 1));
		cr_assert(!i || domains[i] > domains[i - 1]);
	}
	salts.salting = SALTING_SOME;
	for (u32 i = 0; i < COUNT; i++) {
		snprintf(salt, sizeof(salt), "tenant %u", i);
		cr_assert_eq(salts_domain(&salts, salts.salting, salt, 7), domains[i]);
	}
	salts_free(&salts);
}

Test(ctl_config, guests_that_come_have_sections_too)
{
	cr_assert_eq(read_text(HOST_LINE "attach-mode = 0600\nattach-group = kvm\n"
					 "[guest-default]\nmemory = 64M\nshares = 7\n"
					 "[guest a]\nmemory = 8M\nuser = root\n"
					 "[guest b]\nmemory = 8M\nuser = 1234\n"),
		     0, "%s", error);
	cr_expect_eq(config.attach_mode, 0600);
	cr_expect_str_eq(config.attach_group, "kvm");
	cr_assert(config.guest_default);
	cr_expect_eq(config.guest_default->memory_bytes, 64 * MiB);
	cr_expect_eq(config.guest_default->tuning.shares, 7);
	cr_expect_eq(config.guest_count, 2);
	cr_expect_eq(config.guests[0].uid, 0);
	cr_expect_eq(config.guests[1].uid, 1234);
	config_free(&config);
	cr_assert_eq(read_text(HOST_LINE "[guest-default]\nmemory = 64M\n"), 0, "%s", error);
	config_free(&config);
	refused(HOST_LINE "[guest-default]\nmemory = 8M\n[guest-default]\n", 5, "a second");
	refused(HOST_LINE "[guest-default]\nmemory = 8M\ncount = 2\n", 3, "no `count'");
	refused(HOST_LINE "[guest a]\nmemory = 8M\nuser = no-such-user\n", 3, "no user");
	refused(HOST_LINE "attach-mode = 0999\n", 3, "in octal");
	refused(HOST_LINE "attach-mode = 01777\n", 3, "in octal");
}

Test(ctl_config, documented_defaults_are_the_defaults)
{
	static struct host_config host, host_copy;
	static struct guest_section guest, guest_copy;

	host_config_defaults(&host);
	memcpy(&host_copy, &host, sizeof(host));
	presets_hold(&config_host_keys, (char *)&host, (char *)&host_copy, sizeof(host));
	presets_hold(&config_policy_keys, (char *)&host.policy, (char *)&host_copy.policy,
		     sizeof(host.policy));
	guest_config_defaults(&guest.guest);
	guest.count = 1;
	memcpy(&guest_copy, &guest, sizeof(guest));
	presets_hold(&config_guest_keys, (char *)&guest, (char *)&guest_copy, sizeof(guest));
	presets_hold(&config_ksm_keys, (char *)&host, (char *)&host_copy, sizeof(host));
}

static void all_documented(const struct config_keys *keys, const char *text)
{
	char heading[64];

	for (u32 i = 0; i < keys->count; i++) {
		snprintf(heading, sizeof(heading), "| `%s` |", keys->keys[i].name);
		cr_expect_not_null(strstr(text, heading), "docs/config.md lacks %s", heading);
	}
}

Test(ctl_config, the_manual_names_every_key)
{
	static char text[65536];
	FILE *manual = fopen("docs/config.md", "re");

	if (!manual)
		cr_skip_test("docs/config.md is not here: run from the project's folder");
	text[fread(text, 1, sizeof(text) - 1, manual)] = '\0';
	fclose(manual);
	all_documented(&config_host_keys, text);
	all_documented(&config_policy_keys, text);
	all_documented(&config_guest_keys, text);
	all_documented(&config_ksm_keys, text);
}
