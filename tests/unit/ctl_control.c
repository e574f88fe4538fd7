/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control tree over a real manager that has no guests: paths, reads, writes, and many of them at once.
 * What guests add is tested with guests, in tests/guest/control_*.sh.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/attr_policy.h"
#include "ctl/control.h"
#include "ctl/metrics.h"

static struct host_config config;
static struct manager *manager;
static struct control *control;

static void start(void)
{
	host_config_defaults(&config);
	snprintf(config.name, sizeof(config.name), "tested");
	config.memory_bytes = 256 * MiB;
	config.cgroup = false;
	snprintf(config.swap_file, sizeof(config.swap_file), "build/control-test.%d", getpid());
	config.swap_bytes = 64 * MiB;
	cr_assert_eq(manager_create(&config, &manager), 0);
	cr_assert_eq(control_create(manager, config.name, &control), 0);
}

static void stop(void)
{
	control_destroy(control);
	manager_destroy(manager);
}

TestSuite(ctl_control, .init = start, .fini = stop);

static int set(const char *path, const char *text)
{
	char error[ATTR_ERROR_MAX];

	return control_write(control, path, text, strlen(text), error, sizeof(error));
}

static u64 get(const char *path)
{
	char *text;
	u64 value;

	cr_assert_geq(control_read(control, path, &text), 0, "%s", path);
	value = strtoull(text, NULL, 10);
	free(text);
	return value;
}

Test(ctl_control, every_attribute_of_the_host_can_be_read)
{
	for (u32 i = 0; i < attr_tables[ATTR_HOST].count; i++) {
		char *text;
		ssize_t length = control_read(control, attr_tables[ATTR_HOST].attrs[i].path, &text);

		cr_assert_geq(length, 0);
		cr_expect_eq((size_t)length, strlen(text));
		cr_expect(!length || text[length - 1] == '\n');
		free(text);
	}
	cr_expect_eq(get("/memory"), 256 * MiB);
	cr_expect_eq(get("numa/node0/size") > 0, true);
	cr_expect_eq(get("numa/node0/pool"), 0);
	cr_expect_eq(get("numa/node0/resident"), 0);
}

/* Whoever looks may come before the first guest. */
Test(ctl_control, a_host_whose_guests_are_still_to_come_has_not_ended)
{
	struct host_snapshot before, after;

	manager_host_snapshot(manager, &before);
	usleep(1000);
	manager_host_snapshot(manager, &after);
	cr_expect_eq(after.guests_running, 0);
	cr_expect_gt(after.duration_ns, before.duration_ns);
	manager_serve(manager, 0);
	manager_host_snapshot(manager, &before);
	usleep(1000);
	manager_host_snapshot(manager, &after);
	cr_expect_eq(after.duration_ns, before.duration_ns, "it was served, and there was none");
}

/* At both ends of its range, and back; a step beyond is refused and changes nothing. */
Test(ctl_control, every_setting_of_the_host_can_be_written)
{
	for (u32 i = 0; i < attr_tables[ATTR_HOST].count; i++) {
		const struct attr *attr = &attr_tables[ATTR_HOST].attrs[i];
		char text[32];

		if (attr->take)
			continue;
		if (!attr->write) {
			cr_expect_eq(set(attr->path, "1"), -EACCES, "%s", attr->path);
			continue;
		}
		snprintf(text, sizeof(text), "%lu\n", attr->max);
		cr_expect_eq(set(attr->path, text), 0, "%s", attr->path);
		cr_expect_eq(get(attr->path), attr->max, "%s", attr->path);
		snprintf(text, sizeof(text), "%lu", attr->max + 1);
		cr_expect_eq(set(attr->path, text), -EINVAL, "%s", attr->path);
		snprintf(text, sizeof(text), "%lu", attr->min - 1);
		cr_expect_eq(set(attr->path, text), -EINVAL, "%s", attr->path);
		cr_expect_eq(get(attr->path), attr->max, "%s", attr->path);
		snprintf(text, sizeof(text), "%lu", attr->min + 2 * attr->step);
		if (strcmp(attr->path, "memory") != 0)
			cr_expect_eq(set(attr->path, text), 0, "%s", attr->path);
	}
}

Test(ctl_control, the_states_can_be_moved_whole_or_not_at_all)
{
	static const char *const wrong[] = {"",
					    "400",
					    "400 100 64 32",
					    "1 2 3 4 5",
					    "400 100 64 32 x",
					    "400 100 64 32 16 8",
					    "400 100 64 32 4294967312"};
	char *text;

	cr_expect_eq(set("state_pct", "500 200 100 50 20\n"), 0);
	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(set("state_pct", wrong[i]), -EINVAL, "%s", wrong[i]);
	cr_assert_gt(control_read(control, "state_pct", &text), 0);
	cr_expect_str_eq(text, "500 200 100 50 20\n");
	free(text);
	cr_assert_gt(control_read(control, "last_error", &text), 0);
	cr_expect(strstr(text, "five falling percentages"), "%s", text);
	free(text);
}

Test(ctl_control, a_budget_comes_down_when_the_manager_serves)
{
	cr_expect_eq(set("memory", "128M"), 0);
	cr_expect_eq(get("memory"), 128 * MiB);
	cr_expect_gt(get("memory_now"), 128 * MiB);
	cr_expect_eq(set("memory", "512M"), 0);
	cr_expect_eq(get("memory_now"), 512 * MiB);
}

Test(ctl_control, a_budget_that_cannot_hold_is_refused_in_a_sentence)
{
	char *text;

	cr_expect_eq(set("memory", "32M"), 0);
	cr_expect_eq(set("memory", "31M"), -EINVAL);
	cr_assert_gt(control_read(control, "last_error", &text), 0);
	cr_expect(strstr(text, "`31M' should be a size from 32M"), "%s", text);
	free(text);
	cr_expect_eq(set("memory", "64M"), 0);
	cr_expect_eq(control_read(control, "last_error", &text), 0);
	free(text);
}

Test(ctl_control, rubbish_is_refused_and_changes_nothing)
{
	char error[ATTR_ERROR_MAX], text[8192];

	memset(text, '1', sizeof(text));
	cr_expect_eq(control_write(control, "memory", text, sizeof(text), error, sizeof(error)),
		     -EINVAL);
	cr_expect(strstr(error, "too many"));
	cr_expect_eq(control_write(control, "memory", "64M\0M", 5, error, sizeof(error)), -EINVAL);
	cr_expect_eq(control_write(control, "memory", "", 0, error, sizeof(error)), -EINVAL);
	cr_expect_eq(control_write(control, "memory", "\n", 1, error, sizeof(error)), -EINVAL);
	cr_expect_eq(set("memory", "64M\n\n"), -EINVAL);
	cr_expect_eq(set("used", "64M"), -EACCES);
	cr_expect_eq(set("swap", "64M"), -EISDIR);
	cr_expect_eq(set("no/such", "64M"), -ENOENT);
	cr_expect_eq(get("memory"), 256 * MiB);
}

Test(ctl_control, paths_that_are_none_are_not_found)
{
	static const char *const paths[] = {"memory/",	   "//memory",	       "/swap//accelerat",
					    "mem",	   "memory/x",	       "vm/nobody",
					    "vm/nobody/x", "numa/node99/free", "numa/node",
					    "numa/nodex",  "../memory",	       "."};
	char longest[2 * CONTROL_PATH_MAX];
	struct control_node node;

	cr_expect_eq(control_find(control, paths[0], &node), 0);
	cr_expect_eq(control_find(control, paths[1], &node), 0);
	for (u32 i = 2; i < ARRAY_SIZE(paths); i++)
		cr_expect_eq(control_find(control, paths[i], &node), -ENOENT, "%s", paths[i]);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(control_find(control, longest, &node), -ENOENT);
	cr_expect_eq(control_find(control, "", &node), 0);
	cr_expect_null(node.attr);
}

Test(ctl_control, folders_list_each_name_once)
{
	struct control_names names;
	u32 swaps = 0;

	cr_assert_eq(control_list(control, "/", &names), 0);
	for (u32 i = 0; i < names.count; i++)
		swaps += strcmp(names.names[i], "swap") == 0;
	cr_expect_eq(swaps, 1);
	free(names.names);
	cr_assert_eq(control_list(control, "/vm", &names), 0);
	cr_expect_eq(names.count, 0);
	free(names.names);
	cr_expect_eq(control_list(control, "memory", &names), -ENOTDIR);
	cr_expect_eq(control_list(control, "nothing", &names), -ENOENT);
}

Test(ctl_control, a_dump_has_what_reading_one_by_one_has)
{
	char *text = NULL, *line, *rest;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	u32 lines = 0;

	cr_assert_eq(control_dump(control, "/swap", out), 0);
	fclose(out);
	for (rest = text; (line = strsep(&rest, "\n")) && *line; lines++) {
		char *path = strsep(&line, "\t"), *value;

		cr_assert_geq(control_read(control, path, &value), 0, "%s", path);
		value[strcspn(value, "\n")] = '\0';
		cr_expect_str_eq(value, line);
		free(value);
	}
	cr_expect_gt(lines, 10);
	free(text);
}

Test(ctl_control, metrics_have_help_and_type_before_each_value)
{
	char *text = NULL, *line, *rest, name[160] = "";
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	cr_assert_eq(metrics_write(control, out), 0);
	fclose(out);
	for (rest = text; (line = strsep(&rest, "\n")) && *line;) {
		if (strncmp(line, "# HELP ", 7) == 0)
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 7, " "), line + 7);
		else
			cr_expect_eq(strncmp(line + (line[0] == '#' ? 7 : 0), name, strlen(name)),
				     0, "%s", line);
	}
	free(text);
}

#define WRITES 2000

static void *write_memory(void *argument)
{
	const char *value = argument;

	for (u32 i = 0; i < WRITES; i++)
		set("swap/max_blob_bytes", value);
	return NULL;
}

/* Two writers, a reader, and a manager that serves: a value is one of the two, never a mixture. */
Test(ctl_control, writers_at_once_never_tear_a_value)
{
	pthread_t threads[2];

	cr_assert_eq(set("swap/max_blob_bytes", "1111"), 0);
	pthread_create(&threads[0], NULL, write_memory, "1111");
	pthread_create(&threads[1], NULL, write_memory, "2222");
	for (u32 i = 0; i < WRITES; i++) {
		u64 value = get("swap/max_blob_bytes");

		cr_assert(value == 1111 || value == 2222, "%lu", value);
		manager_serve(manager, 0);
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

/* Two settings of one struct, each written by a thread that reads back what it wrote. */
struct changer {
	const char *path;
	u64 base;
	u32 lost;
};

static void *change_often(void *argument)
{
	struct changer *changer = argument;
	char text[32];

	for (u32 i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "%lu", changer->base + i % 50);
		cr_assert_eq(set(changer->path, text), 0);
		changer->lost += get(changer->path) != changer->base + i % 50;
	}
	return NULL;
}

static u32 changes_lost(void)
{
	struct changer changers[] = {{"policy/interval_ms", 1000, 0},
				     {"policy/idle_tax_pct", 10, 0}};
	pthread_t threads[ARRAY_SIZE(changers)];

	for (u32 i = 0; i < ARRAY_SIZE(changers); i++)
		pthread_create(&threads[i], NULL, change_often, &changers[i]);
	for (u32 i = 0; i < ARRAY_SIZE(changers); i++)
		pthread_join(threads[i], NULL);
	return changers[0].lost + changers[1].lost;
}

Test(ctl_control, changes_of_two_settings_at_once_are_both_kept)
{
	cr_expect_eq(changes_lost(), 0);
}

Test(ctl_control, without_turns_changes_are_lost)
{
	u32 lost = 0;

	attr_policy_without_turns = true;
	for (u32 i = 0; i < 50 && !lost; i++)
		lost = changes_lost();
	attr_policy_without_turns = false;
	cr_expect_gt(lost, 0);
}
