/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the C library that concern guest memory, put before its own.
 *
 *	mmap       of a memory backend's file: the manager's RAM file instead
 *	munmap     of guest memory, when it is unplugged
 *	fallocate  a hole in a backend's file: how QEMU discards (balloon, free page reporting, virtio-mem)
 *	madvise    MADV_REMOVE discards; MADV_DONTNEED would lose what was written in the place of a frame
 *	mlockall   would bring in all of it, for ever
 *	syscall, open  userfaultfd: a second one on the same memory would take the manager's faults
 *	sendmsg    of a backend's file: another process that maps it would see none of this
 *
 * A backend is recognised by its file: a memfd of QEMU's, or one below the RAM folder. QEMU's own file stays
 * empty. What is not guest memory goes to the kernel as it is.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "preload/preload.h"

#define HUGETLBFS 0x958458f6L /* HUGETLBFS_MAGIC of linux/magic.h */
#define MEMFD	  "/memfd:memory-backend"

/* What the kernel said, as the C library would. */
static long as_errno(long result)
{
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

static void *map_plainly(void *address, size_t length, int protection, int flags, int fd,
			 off_t offset)
{
	return (void *)as_errno(
		raw_call(SYS_mmap, (long)address, (long)length, protection, flags, fd, offset));
}

/* Address space that QEMU reserves to put guest memory into: at a 2 MiB boundary, or no mapping of the RAM
 * file could lie as the manager's does. */
static void *reserve_aligned(size_t length, int flags)
{
	size_t whole = ALIGN_UP(length, PAGE_SIZE) + REGION_SIZE;
	u8 *area = map_plainly(NULL, whole, PROT_NONE, flags, -1, 0), *aligned;

	if (area == MAP_FAILED)
		return area;
	aligned = (u8 *)ALIGN_UP((uintptr_t)area, REGION_SIZE);
	if (aligned > area)
		raw_call(SYS_munmap, (long)area, aligned - area, 0, 0, 0, 0);
	length = ALIGN_UP(length, PAGE_SIZE);
	raw_call(SYS_munmap, (long)(aligned + length), area + whole - (aligned + length), 0, 0, 0,
		 0);
	return aligned;
}

/* Whether a path is one of BALLAST_RAM_PATHS, or below one; the kernel adds " (deleted)" to some. */
static bool is_listed(const char *path)
{
	const char *list = getenv("BALLAST_RAM_PATHS");

	while (list && *list) {
		size_t length = strcspn(list, ":");
		char behind = path[length];

		if (length && !strncmp(path, list, length) &&
		    (!behind || behind == '/' || behind == ' '))
			return true;
		list += length + (list[length] == ':');
	}
	return false;
}

/* Whether it is the file of a memory backend of QEMU's. */
static bool is_backend(int fd, struct stat *file)
{
	char link[64], path[512];
	ssize_t got;

	if (fstat(fd, file) || !S_ISREG(file->st_mode))
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	got = readlink(link, path, sizeof(path) - 1);
	if (got <= 0)
		return false;
	path[got] = '\0';
	if (!strncmp(path, MEMFD, strlen(MEMFD)))
		return true;
	return is_listed(path);
}

/* What keeps a backend from being the manager's; NULL: nothing. */
static const char *backend_fault(int fd, size_t length, int protection, int flags)
{
	struct statfs mount;

	if (!(flags & MAP_SHARED))
		return "its memory backend is private: give it share=on";
	if (!fstatfs(fd, &mount) && mount.f_type == HUGETLBFS)
		return "its memory backend is on hugetlbfs, which cannot be swapped: leave hugetlb "
		       "out, Ballast uses 2 MiB pages by itself";
	if (length % REGION_SIZE)
		return "its memory backend must be a multiple of 2 MiB";
	if ((protection & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		return "its memory backend is read-only";
	return NULL;
}

static void *map_backend(void *address, size_t length, int protection, int flags, int fd,
			 const struct piece *piece)
{
	const char *fault = backend_fault(fd, length, protection, flags);
	struct piece known;

	if (!fault && flags & MAP_FIXED && pieces_at(address, &known))
		fault = "guest memory is mapped over guest memory (a page with a hardware error?), "
			"which cannot be followed";
	if (fault) {
		say("%s", fault);
		errno = EINVAL;
		return MAP_FAILED;
	}
	return link_map(address, length, protection, flags, piece);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	struct stat file;

	if (!link_wanted() || length < REGION_SIZE)
		return map_plainly(address, length, protection, flags, fd, offset);
	if (!address && protection == PROT_NONE && flags & MAP_ANONYMOUS && !(flags & MAP_FIXED))
		return reserve_aligned(length, flags);
	if (!(flags & MAP_ANONYMOUS) && protection & PROT_WRITE && is_backend(fd, &file)) {
		struct piece piece = {
			.length = length,
			.device = file.st_dev,
			.inode = file.st_ino,
			.file_offset = (u64)offset,
		};

		return map_backend(address, length, protection, flags, fd, &piece);
	}
	return map_plainly(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	return mmap(address, length, protection, flags, fd, offset);
}

int munmap(void *address, size_t length)
{
	struct piece piece;

	for (u32 i = 0; link_active() && i < ATTACH_PIECES_MAX; i++) {
		if (!pieces_get(i, &piece) || piece.at < (u8 *)address ||
		    piece.at + piece.length > (u8 *)address + length)
			continue;
		link_unmap(&piece);
	}
	return (int)as_errno(raw_call(SYS_munmap, (long)address, (long)length, 0, 0, 0, 0));
}

/* A hole in a backend's file is one in guest memory, a piece after the other. */
static int punch(const struct stat *file, u64 offset, u64 length)
{
	struct piece piece;

	while (length && pieces_of(file->st_dev, file->st_ino, offset, &piece)) {
		u64 into = offset - piece.file_offset;
		u64 part = MIN(length, piece.length - into);
		int err = link_discard(piece.ram_offset + into, part);

		if (err) {
			errno = -err;
			return -1;
		}
		offset += part;
		length -= part;
	}
	return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	struct stat file;

	if (link_active() && offset >= 0 && length > 0 && !fstat(fd, &file) &&
	    pieces_know(file.st_dev, file.st_ino))
		return mode & FALLOC_FL_PUNCH_HOLE ? punch(&file, (u64)offset, (u64)length) : 0;
	return (int)as_errno(raw_call(SYS_fallocate, fd, mode, offset, length, 0, 0));
}

int fallocate64(int fd, int mode, off_t offset, off_t length)
{
	return fallocate(fd, mode, offset, length);
}

int madvise(void *address, size_t length, int advice)
{
	struct piece piece;
	u64 into;
	int err;

	if (!link_active() || !pieces_at(address, &piece))
		return (int)as_errno(
			raw_call(SYS_madvise, (long)address, (long)length, advice, 0, 0, 0));
	into = (u64)((u8 *)address - piece.at);
	if (advice == MADV_DONTNEED)
		return 0; /* of a shared file it keeps the content, and so do we */
	if (advice != MADV_REMOVE)
		return (int)as_errno(
			raw_call(SYS_madvise, (long)address, (long)length, advice, 0, 0, 0));
	err = link_discard(piece.ram_offset + into, MIN((u64)length, piece.length - into));
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

int mlockall(int flags)
{
	if (!link_wanted())
		return (int)as_errno(raw_call(SYS_mlockall, flags, 0, 0, 0, 0, 0));
	say("its memory cannot be locked while Ballast manages it: leave mem-lock=on out");
	errno = ENOTSUP;
	return -1;
}

static int refuse_userfaultfd(void)
{
	say("another userfaultfd would take the manager's faults: no postcopy migration and no "
	    "background snapshot of a guest that Ballast manages");
	errno = EPERM;
	return -1;
}

long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (u32 i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_userfaultfd && link_active())
		return refuse_userfaultfd();
	return as_errno(raw_call(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

static int open_or_refuse(const char *path, int flags, mode_t mode)
{
	if (link_active() && path && !strcmp(path, "/dev/userfaultfd"))
		return refuse_userfaultfd();
	return (int)as_errno(raw_call(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0));
}

#define MODE_ARGUMENT(flags)                                                                       \
	({                                                                                         \
		mode_t given = 0;                                                                  \
		va_list args;                                                                      \
		if ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE) {                         \
			va_start(args, flags);                                                     \
			given = va_arg(args, mode_t);                                              \
			va_end(args);                                                              \
		}                                                                                  \
		given;                                                                             \
	})

int open(const char *path, int flags, ...)
{
	return open_or_refuse(path, flags, MODE_ARGUMENT(flags));
}

int open64(const char *path, int flags, ...)
{
	return open_or_refuse(path, flags | O_LARGEFILE, MODE_ARGUMENT(flags));
}

/* Whether a message passes the file of guest memory on. */
static bool gives_away(const struct msghdr *message)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg;
	     cmsg = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, cmsg)) {
		u32 count = (u32)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		struct stat file;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (u32 i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
			if (!fstat(fd, &file) && pieces_know(file.st_dev, file.st_ino))
				return true;
		}
	}
	return false;
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	static _Atomic(ssize_t(*)(int, const struct msghdr *, int)) next;

	if (!next)
		next = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
	if (link_active() && message->msg_controllen && gives_away(message)) {
		say("guest memory cannot be shared with another process (vhost-user) while Ballast "
		    "manages it");
		errno = EPERM;
		return -1;
	}
	return next(socket, message, flags);
}
