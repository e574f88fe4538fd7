/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a userfaultfd by whichever way this host allows, registering guest RAM with it, and judging one. */
#include "attach/faultfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAULTFD_FLAGS (O_CLOEXEC | O_NONBLOCK)
#define FAULTFD_FEATURES                                                                           \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |  \
	 UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

/* The system call needs a privilege, the device only a file permission. */
static int faultfd_open_any(void)
{
	int fd = (int)syscall(SYS_userfaultfd, FAULTFD_FLAGS);
	int device;

	if (fd >= 0 || errno != EPERM)
		return fd < 0 ? -errno : fd;
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -EPERM;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, FAULTFD_FLAGS);
	if (fd < 0)
		fd = -errno;
	close(device);
	return fd;
}

int faultfd_open(bool kernel_faults)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FAULTFD_FEATURES};
	int fd = faultfd_open_any();

	if (fd == -EPERM && !kernel_faults) {
		fd = (int)syscall(SYS_userfaultfd, FAULTFD_FLAGS | UFFD_USER_MODE_ONLY);
		if (fd < 0)
			fd = -errno;
	}
	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int faultfd_register(int faultfd, u64 start, u64 length, bool removes)
{
	struct uffdio_register area = {
		.range = {.start = start, .len = length},
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP |
			(removes ? UFFDIO_REGISTER_MODE_MINOR : 0),
	};

	return ioctl(faultfd, UFFDIO_REGISTER, &area) ? -errno : 0;
}

/* What fdinfo says: "API:\taa:FEATURES:ALL". */
static bool read_features(int fd, u64 *features)
{
	char path[64], line[256];
	unsigned int api, asked;
	bool found = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	while (info && !found && fgets(line, sizeof(line), info))
		found = sscanf(line, "API:%x:%x:", &api, &asked) == 2;
	if (info)
		fclose(info);
	if (found)
		*features = asked;
	return found;
}

const char *faultfd_fault(int fd, bool removes)
{
	static const char kind[] = "anon_inode:[userfaultfd]";
	const u64 followed = removes ? UFFD_FEATURE_EVENT_REMOVE : 0;
	char path[64], target[64] = "";
	u64 features;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof(target) - 1) < 0 || strcmp(target, kind) != 0)
		return "its descriptor is no userfaultfd";
	if (!read_features(fd, &features))
		return "its userfaultfd does not say what it can do";
	if ((features & FAULTFD_FEATURES) != FAULTFD_FEATURES)
		return "its userfaultfd lacks features that are needed";
	if ((features & (UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
			 UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE)) != followed)
		return "its userfaultfd reports events that were not agreed on";
	return NULL;
}
