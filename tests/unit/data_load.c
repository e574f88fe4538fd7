/* SPDX-License-Identifier: Apache-2.0 */
/* Data for guests: what of a file or folder ends up in memory, and in what order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/data.h"

static char folder[64];
static struct data_cache *cache;

static void start_with(u64 max_bytes)
{
	strcpy(folder, "/tmp/ballast-test-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(data_cache_create(max_bytes, &cache), 0);
}

static void start(void)
{
	start_with(1 * MiB);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void end(void)
{
	data_cache_destroy(cache);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_folder(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* A file of `bytes` times the character `c`. */
static void put(const char *name, char c, size_t bytes)
{
	char *content = malloc(bytes + 1);
	int fd = open(in_folder(name), O_CREAT | O_WRONLY, 0600);

	memset(content, c, bytes);
	cr_assert_eq(write(fd, content, bytes), (ssize_t)bytes);
	close(fd);
	free(content);
}

static char *load(const char *path, u64 *bytes)
{
	char *content;
	int fd;

	cr_assert_eq(data_cache_get(cache, path, &fd, bytes), 0);
	content = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(content, MAP_FAILED);
	return content;
}

static u64 count(const char *content, u64 bytes, char c)
{
	u64 found = 0;

	for (u64 i = 0; i < bytes; i++)
		found += content[i] == c;
	return found;
}

Test(data_load, a_file_is_its_content_in_whole_pages, .init = start, .fini = end)
{
	char *content;
	u64 bytes;

	put("file", 'a', 5000);
	content = load(in_folder("file"), &bytes);
	cr_expect_eq(bytes, 2 * PAGE_SIZE);
	cr_expect_eq(count(content, bytes, 'a'), 5000);
	cr_expect_eq(content[5000], 0);
	cr_expect_eq(data_cache_bytes(cache), bytes);
}

Test(data_load, a_folder_is_its_files_in_order_of_their_names, .init = start, .fini = end)
{
	char *content;
	u64 bytes;

	put("b", 'b', 100);
	put("c", 'c', 0);
	cr_assert_eq(mkdir(in_folder("a"), 0700), 0);
	put("a/deep", 'a', 100);
	put("d", 'd', 100);
	content = load(folder, &bytes);
	cr_expect_eq(bytes, PAGE_SIZE);
	for (u32 i = 0; i < 300; i++)
		cr_assert_eq(content[i], "abd"[i / 100], "at %u", i);
	cr_expect_eq(content[300], 0);
}

Test(data_load, links_pipes_and_devices_are_left_out, .init = start, .fini = end)
{
	char *content;
	u64 bytes;

	put("file", 'a', 100);
	cr_assert_eq(symlink("file", in_folder("link")), 0);
	cr_assert_eq(symlink("/usr", in_folder("folder-link")), 0);
	cr_assert_eq(mkfifo(in_folder("pipe"), 0600), 0);
	content = load(folder, &bytes);
	cr_expect_eq(count(content, bytes, 'a'), 100);
	cr_expect_eq(bytes, PAGE_SIZE);
}

static void start_small(void)
{
	start_with(512 * KiB);
}

Test(data_load, a_large_folder_gives_of_every_file_in_proportion, .init = start_small, .fini = end)
{
	char *content;
	u64 bytes;

	put("a", 'a', 2 * MiB);
	put("b", 'b', 1 * MiB);
	put("c", 'c', 1 * MiB);
	content = load(folder, &bytes);
	cr_expect_eq(bytes, 512 * KiB);
	cr_expect_eq(count(content, bytes, 'a'), 256 * KiB);
	cr_expect_eq(count(content, bytes, 'b'), 128 * KiB);
	cr_expect_eq(count(content, bytes, 'c'), 128 * KiB);
}

Test(data_load, one_path_is_loaded_once, .init = start, .fini = end)
{
	u64 bytes;
	int a, b;

	put("file", 'a', 100);
	cr_assert_eq(symlink("file", in_folder("link")), 0);
	cr_assert_eq(data_cache_get(cache, in_folder("file"), &a, &bytes), 0);
	cr_assert_eq(data_cache_get(cache, in_folder("link"), &b, &bytes), 0);
	cr_expect_eq(a, b);
	cr_expect_eq(data_cache_bytes(cache), PAGE_SIZE);
}

Test(data_load, what_was_loaded_ahead_is_not_loaded_again, .init = start, .fini = end)
{
	u64 bytes, size;
	int fd;

	data_cache_load(cache, "/usr/bin/env");
	bytes = data_cache_bytes(cache);
	cr_expect_gt(bytes, 0);
	cr_expect_eq(data_cache_get(cache, "/usr/bin/env", &fd, &size), 0);
	cr_expect_eq(data_cache_bytes(cache), bytes);
	data_cache_load(cache, "/nowhere");
	cr_expect_eq(data_cache_bytes(cache), bytes);
}

Test(data_load, nobody_can_change_what_was_loaded, .init = start, .fini = end)
{
	char link[64];
	u64 bytes;
	int fd;

	put("file", 'a', 100);
	cr_assert_eq(data_cache_get(cache, in_folder("file"), &fd, &bytes), 0);
	cr_expect_eq(write(fd, "b", 1), -1);
	cr_expect_eq(mmap(NULL, bytes, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	fd = open(link, O_RDWR);
	cr_assert_geq(fd, 0, "root may reopen it for writing");
	cr_expect_eq(write(fd, "b", 1), -1);
	cr_expect_eq(ftruncate(fd, 0), -1);
	close(fd);
}

static int get(const char *path)
{
	u64 bytes;
	int fd;

	return data_cache_get(cache, path, &fd, &bytes);
}

Test(data_load, what_gives_no_data_is_an_error, .init = start, .fini = end)
{
	cr_expect_eq(get(in_folder("absent")), -ENOENT);
	cr_expect_eq(get("/dev/zero"), -EINVAL);
	cr_expect_eq(get(folder), -ENODATA);
	put("empty", 'a', 0);
	cr_expect_eq(get(in_folder("empty")), -ENODATA);
	cr_expect_eq(data_cache_bytes(cache), 0);
}

Test(data_load, real_folders_fill_the_limit, .init = start, .fini = end)
{
	char *content;
	u64 bytes;

	if (access("/usr/bin", R_OK))
		cr_skip_test("no /usr/bin");
	content = load("/usr/bin", &bytes);
	cr_expect_eq(bytes, 1 * MiB);
	cr_expect_lt(count(content, bytes, 0), bytes / 2);
}
