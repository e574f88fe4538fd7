/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a userfaultfd by whichever way this host allows, and registering guest RAM with it. */
#include "hv/faultfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
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

int faultfd_register(int faultfd, const struct ram *ram)
{
	struct uffdio_register area = {
		.range = {.start = (u64)(uintptr_t)ram->base, .len = ram->bytes},
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR |
			UFFDIO_REGISTER_MODE_WP,
	};

	return ioctl(faultfd, UFFDIO_REGISTER, &area) ? -errno : 0;
}
