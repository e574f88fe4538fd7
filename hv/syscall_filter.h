/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that are left to a VMM process once its guest exists. A guest that takes over its
 * VMM has the VMM's system calls, and this is all it finds: it can run and end its guest, talk to the
 * manager, start threads and allocate private memory. Three answers:
 *
 *	allowed		what the VMM itself needs, arguments included
 *	killed		what no library calls by accident: who asks for it has taken the process over, and
 *			the process ends (SIGSYS) before it can try the next thing
 *	EPERM		everything else. A future C library may try something new in the middle of a
 *			harmless function; that should not cost anybody a guest.
 */
#ifndef HV_SYSCALL_FILTER_H
#define HV_SYSCALL_FILTER_H

/* What a guest whose pages are shared keeps to map, each in one way alone: the RAM file MAP_SHARED, the
 * frames MAP_PRIVATE; -1: nothing. And a region at `stage`, which may be moved. */
struct syscall_files {
	int ram;
	int frames;
	const void *stage;
};

/* Applies to all threads of the process, those to come included, and for good. Returns 0 or -errno:
 * -EINVAL or -ENOSYS where the kernel has no seccomp filters. */
int syscall_filter_load(const struct syscall_files *files);

#endif
