/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether shared memory may be huge is a property of its tmpfs mount, and the mount behind
 * memfd_create(2) obeys a switch of the whole host that is usually off. So each file gets a tmpfs
 * of its own with huge=advise. It is never attached to any folder: fsmount(2) gives a mount that
 * lives as long as something is open on it, which leaves nothing to unmount and nothing to clean
 * up, however we die.
 */
#include "manager/ramfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

/* A mount of its own, with room for `bytes` (the default is half of the machine's memory, and a
 * guest may be larger than all of it). */
static int mount_detached(u64 bytes)
{
	char size[32];
	int fs, mnt;

	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
	if (fsconfig(fs, FSCONFIG_SET_STRING, "huge", "advise", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = -errno;
	else if ((mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0)
		mnt = -errno;
	close(fs);
	return mnt;
}

static int create_huge(u64 bytes)
{
	int mnt, fd;

	mnt = mount_detached(bytes);
	if (mnt < 0)
		return mnt;
	fd = openat(mnt, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = -errno;
	close(mnt);
	return fd;
}

/* Whether the host lets memfds have huge pages: "always within_size [advise] never deny force". */
static bool memfd_is_huge(void)
{
	char text[128];
	ssize_t length;
	int fd;

	fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return !strstr(text, "[never]") && !strstr(text, "[deny]");
}

int ramfile_create(u64 bytes, bool huge, bool *got_huge)
{
	bool sealable = false;
	int fd, ret;

	*got_huge = huge;
	fd = huge ? create_huge(bytes) : -EPERM;
	if (fd < 0) {
		fd = memfd_create("ballast-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0)
			return -errno;
		sealable = true;
		*got_huge = huge && memfd_is_huge();
	}
	if (ftruncate(fd, (off_t)bytes) ||
	    (sealable && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}
