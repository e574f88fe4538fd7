/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, labels and sizes the swap file. */
#include "swap/openfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/log.h"
#include "swap/swapfile.h"

static const char label[] = "BALLAST SWAP FILE: safe to remove when no ballast runs\n";

static int open_unbuffered(const char *path)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC;
	int fd = open(path, flags | O_DIRECT, 0600);

	if (fd >= 0 || errno != EINVAL)
		return fd < 0 ? -errno : fd;
	fd = open(path, flags, 0600);
	if (fd < 0)
		return -errno;
	log_warn(
		"swap file %s: its filesystem refuses O_DIRECT, so swap goes through the page cache "
		"and takes memory twice: put it on ext4, xfs or a block device's filesystem",
		path);
	return fd;
}

/* Empty, or labelled as ours, and used by nobody else. */
static int check_replaceable(int fd, const char *path, u8 *block)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		log_error("swap file %s is in use by another ballast: name another", path);
		return -EBUSY;
	}
	if (S_ISREG(stat.st_mode) && !stat.st_size)
		return 0;
	if (S_ISREG(stat.st_mode) && pread(fd, block, SWAP_BLOCK, 0) == SWAP_BLOCK &&
	    !memcmp(block, label, sizeof(label)))
		return 0;
	log_error("swap file %s exists and is not a swap file: remove it or name another", path);
	return -EEXIST;
}

static int write_label(int fd, u8 *block)
{
	memset(block, 0, SWAP_BLOCK);
	memcpy(block, label, sizeof(label));
	if (pwrite(fd, block, SWAP_BLOCK, 0) == SWAP_BLOCK)
		return 0;
	return errno ? -errno : -EIO;
}

/* All of its space now where the filesystem can: then no write fails for want of it later. */
static int reserve_space(int fd, const char *path, u64 bytes)
{
	struct statfs fs;

	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)bytes))
		return -errno;
	if (!fallocate(fd, 0, 0, (off_t)bytes) || errno == EOPNOTSUPP)
		return 0;
	if (errno != ENOSPC)
		return -errno;
	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)bytes) || fstatfs(fd, &fs))
		return -errno;
	log_warn(
		"swap file %s: %.1f GiB asked for, %.1f GiB free on its filesystem: it will fill up "
		"early; lower swap-size or make room",
		path, (double)bytes / (double)GiB,
		(double)fs.f_bavail * (double)fs.f_bsize / (double)GiB);
	return 0;
}

int openfile_open(const char *path, u64 bytes, bool keep)
{
	u8 *block = aligned_alloc(SWAP_BLOCK, SWAP_BLOCK);
	int fd, err;

	if (!block)
		return -ENOMEM;
	fd = open_unbuffered(path);
	err = fd;
	if (fd < 0)
		goto report;
	err = check_replaceable(fd, path, block);
	if (err)
		goto close_file;
	err = reserve_space(fd, path, bytes);
	if (!err)
		err = write_label(fd, block);
	if (err) {
		unlink(path);
		goto report_and_close;
	}
	if (!keep)
		unlink(path);
	free(block);
	return fd;

report_and_close:
	log_error("swap file %s: cannot reserve %.1f GiB: %s", path, (double)bytes / (double)GiB,
		  strerror(-err));
close_file:
	close(fd);
	free(block);
	return err;

report:
	log_error("swap file %s: cannot create it: %s: check folder and permissions", path,
		  strerror(-err));
	free(block);
	return err;
}
