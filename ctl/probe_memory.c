/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel offers for owning a guest's memory from another process. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl/format.h"
#include "ctl/probe.h"

/* A userfaultfd with the features we cannot do without; -errno. */
static int open_userfaultfd(u64 *features, const char **way)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd, device;

	*way = "system call";
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		*way = "/dev/userfaultfd";
		device = open(*way, O_RDWR | O_CLOEXEC);
		if (device < 0)
			return -errno;
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	}
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api)) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	*features = api.features;
	return fd;
}

void probe_userfaultfd(const char *swap, struct probe_result *result)
{
	const char *way;
	u64 features;
	int fd = open_userfaultfd(&features, &way);

	(void)swap;
	if (fd < 0) {
		probe_found(result, PROBE_NO, "userfaultfd: %s", strerror(-fd));
		probe_costs(result,
			    "nothing can run: be root, or get access to /dev/userfaultfd, or "
			    "sysctl vm.unprivileged_userfaultfd=1");
		return;
	}
	close(fd);
	probe_found(result, PROBE_YES, "by %s; features 0x%llx", way, (unsigned long long)features);
}

void probe_userfaultfd_features(const char *swap, struct probe_result *result)
{
	static const struct {
		u64 bit;
		const char *name;
	} wanted[] = {
		{UFFD_FEATURE_MINOR_SHMEM, "minor faults on shared memory"},
		{UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "write protection of shared memory"},
	};
	const char *way;
	u64 features = 0;
	int fd = open_userfaultfd(&features, &way);

	(void)swap;
	if (fd < 0) {
		probe_found(result, PROBE_NO, "unknown, without a userfaultfd");
		return;
	}
	close(fd);
	for (u32 i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (features & wanted[i].bit)
			continue;
		probe_found(result, PROBE_NO, "no %s", wanted[i].name);
		probe_costs(result,
			    "nothing can run: it takes Linux 5.19 or newer, on x86-64 or arm64");
		return;
	}
	probe_found(result, PROBE_YES, "minor faults and write protection on shared memory");
}

/* A tmpfs that is mounted nowhere: it goes away with its last file. */
static int open_private_tmpfs(void)
{
	int context, mount = -1;

	context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (context < 0)
		return -errno;
	if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "huge", "advise", 0) ||
	    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = -errno;
	else
		mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	if (mount == -1)
		mount = -errno;
	close(context);
	return mount;
}

/* Touches one byte of 2 MiB that were asked for as a huge page: all of it comes, or one page does. */
static bool touch_is_huge(int file)
{
	struct stat status;
	bool huge = false;
	char *area, *aligned;

	if (ftruncate(file, REGION_SIZE))
		return false;
	area = mmap(NULL, 2 * REGION_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return false;
	aligned = (char *)ALIGN_UP((uintptr_t)area, REGION_SIZE);
	if (mmap(aligned, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) !=
		    MAP_FAILED &&
	    !madvise(aligned, REGION_SIZE, MADV_HUGEPAGE)) {
		*(volatile char *)aligned = 1;
		huge = !fstat(file, &status) && (u64)status.st_blocks * 512 >= REGION_SIZE;
	}
	munmap(area, 2 * REGION_SIZE);
	return huge;
}

void probe_huge_pages(const char *swap, struct probe_result *result)
{
	int mount = open_private_tmpfs(), file;

	(void)swap;
	probe_costs(
		result,
		"guest memory is mapped by 4 KiB pages: first touches and TLB misses cost more");
	if (mount < 0) {
		probe_found(result, PROBE_NO, "no private tmpfs with huge pages: %s",
			    strerror(-mount));
		return;
	}
	file = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0) {
		probe_found(result, PROBE_NO, "private tmpfs: %s", strerror(errno));
	} else if (touch_is_huge(file)) {
		probe_found(result, PROBE_YES, "2 MiB pages on a private tmpfs");
		probe_costs(result, "");
	} else {
		probe_found(result, PROBE_LIMITED,
			    "a private tmpfs, but it gave no 2 MiB page just now");
	}
	if (file >= 0)
		close(file);
	close(mount);
}

void probe_map_count(const char *swap, struct probe_result *result)
{
	char text[32];
	u64 count;

	(void)swap;
	probe_read("/proc/sys/vm/max_map_count", text, sizeof(text));
	count = strtoull(text, NULL, 10);
	probe_found(result, count >= 65530 ? PROBE_YES : PROBE_LIMITED, "vm.max_map_count = %s",
		    text);
	if (result->verdict == PROBE_LIMITED)
		probe_costs(
			result,
			"few pages of a guest can be mapped singly: sysctl vm.max_map_count=65530");
}

void probe_numa(const char *swap, struct probe_result *result)
{
	DIR *folder = opendir("/sys/devices/system/node");
	struct dirent *entry;
	u32 nodes = 0, node;

	(void)swap;
	while (folder && (entry = readdir(folder)))
		nodes += sscanf(entry->d_name, "node%u", &node) == 1;
	if (folder)
		closedir(folder);
	probe_found(result, nodes ? PROBE_YES : PROBE_NO, "%u node%s", nodes,
		    nodes == 1 ? "" : "s");
	if (nodes <= 1)
		probe_costs(result, "`node` in a configuration file has nothing to choose from");
}

void probe_memory(const char *swap, struct probe_result *result)
{
	u64 page = (u64)sysconf(_SC_PAGESIZE);

	(void)swap;
	probe_found(result, page == PAGE_SIZE ? PROBE_YES : PROBE_NO,
		    "%s in all, %s free, %ld CPUs, pages of %s",
		    format_size((u64)sysconf(_SC_PHYS_PAGES) * page).text,
		    format_size((u64)sysconf(_SC_AVPHYS_PAGES) * page).text,
		    sysconf(_SC_NPROCESSORS_ONLN), format_size(page).text);
	if (page != PAGE_SIZE)
		probe_costs(result, "nothing can run: only pages of 4 KiB are known");
}
