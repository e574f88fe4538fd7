/* SPDX-License-Identifier: Apache-2.0 */
/* A real memory cgroup of this host: made, joined, limited, counted, and gone without a trace. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/cgroup.h"

static struct cgroup *cgroup;
static char path[2 * PATH_MAX];
static struct cgroup_place home;

static void make(void)
{
	const char *why;
	int ret = cgroup_find_self(&home, &why);

	if (!ret)
		ret = cgroup_create("test", &cgroup, &why);
	if (ret)
		cr_skip_test("no memory cgroup: %s (%s)", why, strerror(-ret));
	snprintf(path, sizeof(path), "%s", cgroup_path(cgroup));
}

static void expect_gone(void)
{
	struct cgroup_place now;
	const char *why;

	cr_expect_eq(access(path, F_OK), -1, "%s is still there", path);
	cr_assert_eq(cgroup_find_self(&now, &why), 0);
	cr_expect_str_eq(now.home, home.home, "we are back where we were");
}

static struct cgroup_usage usage_now(void)
{
	struct cgroup_usage usage;

	cr_assert_eq(cgroup_read_usage(cgroup, &usage), 0);
	return usage;
}

Test(cgroup_life, it_leaves_nothing_behind, .init = make)
{
	cr_expect_eq(access(path, F_OK), 0);
	cgroup_destroy(cgroup);
	expect_gone();
}

Test(cgroup_life, who_joins_is_in_and_comes_back, .init = make)
{
	struct cgroup_place now;
	const char *why;

	cr_assert_eq(cgroup_join(cgroup, 0), 0);
	cr_assert_eq(cgroup_find_self(&now, &why), 0);
	cr_expect_str_eq(now.home, path);
	cgroup_destroy(cgroup);
	expect_gone();
}

Test(cgroup_life, a_child_that_outlives_us_is_sent_home, .init = make)
{
	pid_t pid;

	cr_assert_eq(cgroup_join(cgroup, 0), 0);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	cgroup_destroy(cgroup);
	expect_gone();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

Test(cgroup_life, memory_files_and_private_memory_are_told_apart, .init = make)
{
	const u64 bytes = 16 * MiB;
	struct cgroup_usage before, after;
	char *private, *shared;

	cr_assert_eq(cgroup_join(cgroup, 0), 0);
	before = usage_now();
	private = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(private, 1, bytes);
	memset(shared, 1, 2 * bytes);
	after = usage_now();
	cr_expect_geq(after.peak, after.now);
	/* The kernel charges in advance, and counts the parts late, by a batch per CPU. */
	cr_expect_geq(after.now + MiB, before.now + 3 * bytes);
	cr_expect_geq(after.anon + MiB, before.anon + bytes);
	cr_expect_geq(after.shmem + MiB, before.shmem + 2 * bytes);
	cr_expect_leq(after.shmem, before.shmem + 2 * bytes + MiB);
	munmap(shared, 2 * bytes);
	cr_expect_lt(usage_now().now, after.now);
	cr_expect_geq(usage_now().peak, after.now);
	cgroup_destroy(cgroup);
	expect_gone();
}

/* Writes twice the limit into a child; the kernel must not let it. */
Test(cgroup_life, the_limit_holds, .init = make)
{
	int status;
	pid_t pid;

	cr_assert_eq(cgroup_set_limit(cgroup, 32 * MiB), 0);
	pid = fork();
	if (!pid) {
		char *memory = mmap(NULL, 64 * MiB, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (cgroup_join(cgroup, 0))
			_exit(2);
		memset(memory, 1, 64 * MiB);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", status);
	cr_expect_leq(usage_now().peak, 32 * MiB);
	cr_expect_gt(usage_now().limit_hits, 0);
	cr_expect_gt(usage_now().oom_kills, 0);
	cgroup_destroy(cgroup);
	expect_gone();
}

Test(cgroup_life, what_a_dead_run_left_goes_at_the_next_start, .init = make)
{
	char stale[3 * PATH_MAX];
	struct cgroup *next;
	const char *why;
	int status;
	pid_t pid;

	/* A child that makes one and dies without a word. (Whether it is there now is not to be asked:
	 * a test beside us may have started, and removed it, already.) */
	pid = fork();
	if (!pid)
		_exit(cgroup_create("stale", &next, &why) ? 1 : 0);
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
	snprintf(stale, sizeof(stale), "%.*s/ballast-stale-%d", (int)(strrchr(path, '/') - path),
		 path, pid);

	cr_assert_eq(cgroup_create("next", &next, &why), 0, "%s", why);
	cr_expect_eq(access(stale, F_OK), -1, "%s is still there", stale);
	cr_expect_eq(access(path, F_OK), 0, "a living run's cgroup stays");
	cgroup_destroy(next);
	cgroup_destroy(cgroup);
	expect_gone();
}
