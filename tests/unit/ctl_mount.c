/* SPDX-License-Identifier: Apache-2.0 */
/* The mounted tree: files as users and programs use them, and misuse them. Needs root and FUSE. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/mount.h"

static struct host_config config;
static struct manager *manager;
static struct control *control;
static struct mount *mount;
static char folder[64];

static void start(void)
{
	char why[512];

	if (geteuid() || access("/dev/fuse", R_OK | W_OK))
		cr_skip_test("wants root and /dev/fuse");
	host_config_defaults(&config);
	config.memory_bytes = 256 * MiB;
	config.cgroup = false;
	snprintf(folder, sizeof(folder), "/tmp/ballast-test-%d", getpid());
	cr_assert_eq(manager_create(&config, &manager), 0);
	cr_assert_eq(control_create(manager, "tested", &control), 0);
	cr_assert_eq(mount_start(control, folder, why, sizeof(why), &mount), 0, "%s", why);
}

static void stop(void)
{
	mount_stop(mount);
	control_destroy(control);
	manager_destroy(manager);
	cr_expect_neq(access(folder, F_OK), 0, "the folder is left");
}

TestSuite(ctl_mount, .init = start, .fini = stop);

static int open_file(const char *path, int flags)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", folder, path);
	return open(whole, flags | O_CLOEXEC);
}

/* As `echo` does. Returns 0 or -errno. */
static int echo(const char *path, const char *text, size_t length)
{
	int fd = open_file(path, O_WRONLY | O_TRUNC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, length) == (ssize_t)length ? 0 : -errno;
	close(fd);
	return ret;
}

static u64 cat(const char *path)
{
	char text[64] = "";
	int fd = open_file(path, O_RDONLY);

	cr_assert_geq(fd, 0, "%s", path);
	cr_expect_gt(read(fd, text, sizeof(text) - 1), 0, "%s", path);
	close(fd);
	return strtoull(text, NULL, 10);
}

Test(ctl_mount, every_attribute_is_a_file_of_the_right_mode)
{
	for (u32 i = 0; i < attr_tables[ATTR_HOST].count; i++) {
		const struct attr *attr = &attr_tables[ATTR_HOST].attrs[i];
		char path[256], text[4096];
		struct stat info;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", folder, attr->path);
		cr_assert_eq(stat(path, &info), 0, "%s", attr->path);
		cr_expect_eq(info.st_mode, S_IFREG | (attr_writable(attr) ? 0644 : 0444), "%s",
			     attr->path);
		cr_expect_eq(info.st_uid, geteuid());
		fd = open_file(attr->path, O_RDONLY);
		cr_assert_geq(fd, 0, "%s", attr->path);
		cr_expect_geq(read(fd, text, sizeof(text)), 0, "%s", attr->path);
		close(fd);
		if (!attr_writable(attr))
			cr_expect_eq(echo(attr->path, "1", 1), -EACCES, "%s", attr->path);
	}
}

Test(ctl_mount, values_are_written_and_rubbish_refused)
{
	char much[8192];

	memset(much, '6', sizeof(much));
	cr_expect_eq(echo("memory", "512M\n", 5), 0);
	cr_expect_eq(cat("memory"), 512 * MiB);
	cr_expect_eq(echo("memory", "lots\n", 5), -EINVAL);
	cr_expect_eq(echo("memory", much, sizeof(much)), -EINVAL);
	cr_expect_eq(echo("memory", "64M\0", 4), -EINVAL);
	cr_expect_eq(echo("swap", "64M", 3), -EISDIR);
	cr_expect_eq(echo("nothing", "64M", 3), -ENOENT);
	cr_expect_eq(cat("memory"), 512 * MiB);
}

Test(ctl_mount, a_value_in_pieces_is_refused)
{
	int fd = open_file("memory", O_WRONLY);

	cr_assert_geq(fd, 0);
	cr_expect_eq(pwrite(fd, "64M", 3, 1), -1);
	cr_expect_eq(errno, EINVAL);
	close(fd);
	cr_expect_eq(cat("memory"), 256 * MiB);
}

Test(ctl_mount, nothing_can_be_made_or_removed)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/new", folder);
	cr_expect_eq(mkdir(path, 0755), -1);
	cr_expect_eq(open(path, O_CREAT | O_WRONLY, 0644), -1);
	snprintf(path, sizeof(path), "%s/memory", folder);
	cr_expect_eq(unlink(path), -1);
	cr_expect_eq(rename(path, "/tmp/memory"), -1);
}

Test(ctl_mount, an_open_file_shows_the_moment_it_is_read_from_its_beginning)
{
	int fd = open_file("memory", O_RDONLY);
	char text[64];

	cr_assert_geq(fd, 0);
	cr_expect_eq(read(fd, text, 3), 3);
	cr_expect_eq(echo("memory", "1G", 2), 0);
	cr_expect_gt(read(fd, text + 3, sizeof(text) - 3), 0);
	cr_expect_eq(strncmp(text, "268435456\n", 10), 0, "two moments in one value");
	cr_expect_eq(pread(fd, text, sizeof(text), 0), 11);
	cr_expect_eq(strncmp(text, "1073741824\n", 11), 0);
	close(fd);
}

/* More than there are threads: and the tree goes on, and the end does not wait for them. */
Test(ctl_mount, readers_that_never_read_keep_nobody_from_anything)
{
	int fds[64];

	for (u32 i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_file("pressure", O_RDONLY);
		cr_assert_geq(fds[i], 0);
	}
	cr_expect_eq(cat("memory"), 256 * MiB);
}

static _Atomic bool over;

static void *write_values(void *argument)
{
	const char *value = argument;

	while (!over)
		cr_assert_eq(echo("swap/max_blob_bytes", value, 4), 0);
	return NULL;
}

Test(ctl_mount, writers_at_once_never_tear_a_value)
{
	pthread_t threads[2];

	cr_assert_eq(echo("swap/max_blob_bytes", "1111", 4), 0);
	pthread_create(&threads[0], NULL, write_values, "1111");
	pthread_create(&threads[1], NULL, write_values, "2222");
	for (u32 i = 0; i < 500; i++) {
		u64 value = cat("swap/max_blob_bytes");

		cr_expect(value == 1111 || value == 2222, "%lu", value);
	}
	over = true;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

Test(ctl_mount, what_is_mounted_and_alive_is_left_alone)
{
	struct mount *second;
	char why[512];

	cr_expect_eq(mount_start(control, folder, why, sizeof(why), &second), -EBUSY);
	cr_expect(strstr(why, "something is mounted"), "%s", why);
	cr_expect_eq(cat("memory"), 256 * MiB);
}
