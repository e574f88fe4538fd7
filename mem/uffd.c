/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/uffd.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

static int call(int uffd, unsigned long request, void *argument)
{
	int result;

	do
		result = ioctl(uffd, request, argument);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : 0;
}

static int register_for(int uffd, u64 hva, u64 length, u64 mode)
{
	struct uffdio_register arg = {
		.range = {.start = hva, .len = length},
		.mode = mode,
	};

	return call(uffd, UFFDIO_REGISTER, &arg);
}

int uffd_register(int uffd, u64 hva, u64 length)
{
	return register_for(uffd, hva, length,
			    UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
}

int uffd_register_frames(int uffd, u64 hva, u64 length, bool missing)
{
	return register_for(uffd, hva, length,
			    (missing ? UFFDIO_REGISTER_MODE_MISSING : 0) | UFFDIO_REGISTER_MODE_WP);
}

int uffd_register_stage(int uffd, u64 hva, u64 length)
{
	return register_for(uffd, hva, length, UFFDIO_REGISTER_MODE_MISSING);
}

int uffd_unregister(int uffd, u64 hva, u64 length)
{
	struct uffdio_range arg = {.start = hva, .len = length};

	return call(uffd, UFFDIO_UNREGISTER, &arg);
}

static int write_protect(int uffd, u64 hva, u64 length, u64 mode)
{
	struct uffdio_writeprotect arg = {
		.range = {.start = hva, .len = length},
		.mode = mode,
	};

	return call(uffd, UFFDIO_WRITEPROTECT, &arg);
}

int uffd_protect(int uffd, u64 hva, u64 length)
{
	return write_protect(uffd, hva, length, UFFDIO_WRITEPROTECT_MODE_WP);
}

int uffd_unprotect(int uffd, u64 hva, u64 length)
{
	return write_protect(uffd, hva, length, 0);
}

/* A call that did part of its range reports -EAGAIN, and how far it came. */
static s64 partial(int result, s64 done)
{
	if (!result || done > 0)
		return done;
	return result;
}

s64 uffd_copy(int uffd, u64 hva, const void *from, u64 length)
{
	struct uffdio_copy arg = {
		.dst = hva,
		.src = (u64)(uintptr_t)from,
		.len = length,
	};
	int result = call(uffd, UFFDIO_COPY, &arg);

	return partial(result, arg.copy);
}

s64 uffd_zero(int uffd, u64 hva, u64 length)
{
	struct uffdio_zeropage arg = {
		.range = {.start = hva, .len = length},
	};
	int result = call(uffd, UFFDIO_ZEROPAGE, &arg);

	return partial(result, arg.zeropage);
}

s64 uffd_blank(int uffd, u64 hva)
{
	static const u8 zeros[PAGE_SIZE];

	return uffd_copy(uffd, hva, zeros, sizeof(zeros));
}

int uffd_continue(int uffd, u64 hva, u64 length)
{
	u64 end = hva + length;

	while (hva < end) {
		struct uffdio_continue arg = {
			.range = {.start = hva, .len = end - hva},
			.mode = UFFDIO_CONTINUE_MODE_DONTWAKE,
		};
		int result = call(uffd, UFFDIO_CONTINUE, &arg);

		if (!result)
			return 0;
		if (arg.mapped > 0)
			hva += (u64)arg.mapped;
		else if (result == -EEXIST)
			hva += PAGE_SIZE;
		else
			return result;
	}
	return 0;
}

int uffd_wake(int uffd, u64 hva, u64 length)
{
	struct uffdio_range arg = {.start = hva, .len = length};

	return call(uffd, UFFDIO_WAKE, &arg);
}
