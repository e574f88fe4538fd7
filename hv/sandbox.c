/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up what a VMM does not need. */
#include "hv/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hv/syscall_filter.h"
#include "lib/types.h"

/* A vCPU each, KVM, eventfds, the RAM and data files in passing, and some to spare. */
#define SANDBOX_MAX_FILES 64
/* Writable memory of its own: a stack for each vCPU and a small heap. Guest RAM does not count. */
#define SANDBOX_MAX_PRIVATE (128 * MiB)
#define SANDBOX_STACK	    MiB

static int close_others(int keep)
{
	if (keep <= STDERR_FILENO)
		return -EINVAL;
	if (keep > STDERR_FILENO + 1 && close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0))
		return -errno;
	return close_range((unsigned)keep + 1, ~0U, 0) ? -errno : 0;
}

/* The manager's terminal is not for guests to read. */
static int close_input(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = 0;

	if (null < 0)
		return -errno;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		err = -errno;
	close(null);
	return err;
}

/* Where core files go into a pipe their limit of 0 does not hold. Nothing of this process belongs into one. */
static int dump_nothing(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	/* A kernel that makes no core files has no such file. */
	return err == -ENOENT ? 0 : err;
}

int sandbox_enter(int keep)
{
	const struct rlimit no_core = {};
	/* Descriptors are handed out lowest first, so this bounds how many there are as well. */
	const struct rlimit files = {SANDBOX_MAX_FILES, SANDBOX_MAX_FILES};
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	err = close_others(keep);
	if (!err)
		err = close_input();
	if (!err)
		err = dump_nothing();
	if (!err && (setrlimit(RLIMIT_CORE, &no_core) || setrlimit(RLIMIT_NOFILE, &files)))
		err = -errno;
	return err;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

/* A sanitizer's shadow is writable private memory, far beyond any limit. */
static int bound_memory(u64 shared)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)shared;
	return 0;
#else
	const struct rlimit limit = {SANDBOX_MAX_PRIVATE + shared, SANDBOX_MAX_PRIVATE + shared};
	pthread_attr_t thread;
	int err;

	err = pthread_getattr_default_np(&thread);
	if (err)
		return -err;
	err = pthread_attr_setstacksize(&thread, SANDBOX_STACK);
	if (!err)
		err = pthread_setattr_default_np(&thread);
	pthread_attr_destroy(&thread);
	if (!err && setrlimit(RLIMIT_DATA, &limit))
		err = errno;
	return -err;
#endif
}

int sandbox_seal(const struct sandbox_share *share)
{
	const struct syscall_files files = {share->ram, share->frames, share->stage};
	int err = bound_memory(share->frames < 0 ? 0 : share->bytes);

	if (!err)
		err = drop_capabilities();
	if (!err)
		err = syscall_filter_load(&files);
	return err;
}
