/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm TREE CHANGES: so many changes to the host whose control tree is mounted at TREE, from two threads
 * through its files and two through its socket. Every fourth is rubbish and must be refused; what is
 * read in between must be one of the values written.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/rundir.h"
#include "lib/clock.h"
#include "lib/types.h"

#define THREADS 4

static const struct {
	const char *path;
	const char *values[3];
} changes[] = {
	{"/memory", {"96M", "128M", "160M"}},
	{"/swap/acceleration", {"1", "7", "100"}},
	{"/swap/max_blob_bytes", {"1024", "2048", "3072"}},
	{"/swap/max_pool_percent", {"5", "20", "40"}},
	{"/sample_ms", {"10", "100", "1000"}},
	{"/squeeze_rate", {"64M", "128M", "1G"}},
	{"/swap/enabled", {"0", "1", "1"}},
	{"/swap/share_before_swap", {"0", "1", "1"}},
	{"/swap/io_depth", {"1", "3", "64"}},
	{"/swap/readahead", {"1", "16", "512"}},
	{"/state_pct", {"400 100 64 32 16", "500 200 100 50 20", "100 80 60 40 20"}},
};
static const char *const rubbish[] = {"", "-1", "64 M", "1e3", "18446744073709551616", "0x10", "M"};

static const char *tree;
static char socket_path[RUNDIR_PATH_MAX];
static _Atomic s64 left;
static _Atomic u32 wrong;

/* Returns 0 or a positive errno. */
static int write_file(const char *path, const char *value)
{
	char whole[512];
	int fd, ret;

	snprintf(whole, sizeof(whole), "%s%s", tree, path);
	fd = open(whole, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return errno;
	/* Of nothing there is no write(2) that arrives. */
	ret = *value ? write(fd, value, strlen(value)) < 0 ? errno : 0 : EINVAL;
	close(fd);
	return ret;
}

static int write_socket(const char *path, const char *value)
{
	char *text;
	int ret = client_ask(socket_path, (const char *[]){"set", path, value}, 3, &text);

	free(text);
	return ret;
}

static void check(bool good, const char *what, const char *path, const char *value, int ret)
{
	if (good)
		return;
	fprintf(stderr, "storm: %s %s `%s': %s\n", what, path, value, strerror(abs(ret)));
	wrong++;
}

static void *run(void *argument)
{
	u32 thread = (u32)(uintptr_t)argument, i = thread;

	while (atomic_fetch_sub(&left, 1) > 0) {
		const char *path = changes[i % ARRAY_SIZE(changes)].path;
		bool bad = i % 4 == 3;
		const char *value = bad ? rubbish[i % ARRAY_SIZE(rubbish)]
					: changes[i % ARRAY_SIZE(changes)].values[i / 7 % 3];
		int ret = thread & 1 ? write_socket(path, value) : write_file(path, value);

		check(bad ? ret == EINVAL : !ret, bad ? "took" : "refused", path, value, ret);
		i++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	u64 began = clock_now_ns();
	s64 count;

	if (argc != 3) {
		fprintf(stderr, "usage: storm TREE CHANGES\n");
		return 2;
	}
	tree = argv[1];
	count = strtoll(argv[2], NULL, 10);
	atomic_store(&left, count);
	snprintf(socket_path, sizeof(socket_path), "%s.sock", tree);
	for (u32 i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i);
	for (u32 i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%ld changes, %.0f a second, %u wrong\n", count,
	       (double)count * NSEC_PER_SEC / (double)(clock_now_ns() - began), wrong);
	return wrong ? 1 : 0;
}
