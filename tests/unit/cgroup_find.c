/* SPDX-License-Identifier: Apache-2.0 */
/* Where a process' memory cgroup is, read from what different hosts say. */
#include <criterion/criterion.h>
#include <errno.h>

#include "manager/cgroup.h"

static struct cgroup_place place;
static const char *why;

/* Debian 12 as installed: version 2 alone. */
static const char *const unified = "24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw\n"
				   "30 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
				   "26 22 0:24 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 "
				   "cgroup2 rw,nsdelegate,memory_recursiveprot\n";

/* Version 1 with its controllers apart, and version 2 beside it without any. */
static const char *const hybrid =
	"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	"34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
	"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

/* A container that sees its own part of the hierarchy only. */
static const char *const container = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid "
				     "master:18 - cgroup cgroup rw,memory\n";

Test(cgroup_find, version_2)
{
	cr_assert_eq(cgroup_find(unified, "0::/user.slice/session-1.scope\n", &place, &why), 0);
	cr_expect_eq(place.version, 2);
	cr_expect_not(place.top);
	cr_expect_str_eq(place.home, "/sys/fs/cgroup/user.slice/session-1.scope");
}

Test(cgroup_find, the_root_has_nothing_beside_it)
{
	cr_assert_eq(cgroup_find(unified, "0::/\n", &place, &why), 0);
	cr_expect(place.top);
	cr_expect_str_eq(place.home, "/sys/fs/cgroup");
}

Test(cgroup_find, version_1_wins_where_it_has_the_controller)
{
	const char *membership = "9:name=systemd:/\n5:cpuset:/a\n4:memory:/b/c\n0::/d\n";

	cr_assert_eq(cgroup_find(hybrid, membership, &place, &why), 0);
	cr_expect_eq(place.version, 1);
	cr_expect_str_eq(place.home, "/sys/fs/cgroup/memory/b/c");
}

Test(cgroup_find, controllers_mounted_together)
{
	cr_assert_eq(cgroup_find("35 31 0:32 / /cg rw - cgroup cgroup rw,cpuset,memory\n",
				 "4:cpuset,memory:/x\n", &place, &why),
		     0);
	cr_expect_str_eq(place.home, "/cg/x");
}

Test(cgroup_find, a_container_sees_its_part)
{
	cr_assert_eq(cgroup_find(container, "4:memory:/docker/abc/job\n", &place, &why), 0);
	cr_expect_str_eq(place.home, "/sys/fs/cgroup/memory/job");
	cr_assert_eq(cgroup_find(container, "4:memory:/docker/abc\n", &place, &why), 0);
	cr_expect_str_eq(place.home, "/sys/fs/cgroup/memory");
	cr_expect(place.top);
}

Test(cgroup_find, a_cgroup_outside_the_mount_is_refused)
{
	cr_expect_eq(cgroup_find(container, "4:memory:/docker/abcdef\n", &place, &why), -EXDEV);
	cr_expect_not_null(why);
	cr_expect_eq(cgroup_find(unified, "0::/../elsewhere\n", &place, &why), -EXDEV);
}

Test(cgroup_find, no_memory_cgroup_is_enoent)
{
	cr_expect_eq(cgroup_find("", "", &place, &why), -ENOENT);
	cr_expect_eq(cgroup_find("34 31 0:31 / /cg rw - cgroup cgroup rw,cpuset\n", "5:cpuset:/\n",
				 &place, &why),
		     -ENOENT);
	cr_expect_eq(cgroup_find(unified, "garbage\n\n:::\n", &place, &why), -ENOENT);
	cr_expect_eq(cgroup_find("garbage - \n - cgroup\n", "0::/\n", &place, &why), -ENOENT);
}
