/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"

static int check_file(int fd, u64 *bytes)
{
	struct stat file;

	if (fstat(fd, &file))
		return -errno;
	if (!S_ISREG(file.st_mode) || file.st_size <= 0)
		return -EINVAL;
	*bytes = (u64)file.st_size;
	return 0;
}

int kernel_open(const char *path, int *fd, u64 *bytes)
{
	/* O_NONBLOCK: not to wait for the other end of a pipe. */
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err = file < 0 ? -errno : check_file(file, bytes);

	if (!err) {
		*fd = file;
		return 0;
	}
	log_error("kernel %s: cannot be opened: %s", path,
		  err == -EINVAL ? "it is no regular file, or empty: name an uncompressed vmlinux"
				 : strerror(-err));
	if (file >= 0)
		close(file);
	return err;
}
