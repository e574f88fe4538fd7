/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The userfaultfd by which a VMM hands its guest's faults to the manager. The VMM makes it, because
 * it belongs to an address space; it never reads an event from it.
 */
#ifndef ATTACH_FAULTFD_H
#define ATTACH_FAULTFD_H

#include "lib/types.h"

/*
 * Opens a userfaultfd with the features the manager relies on. kernel_faults: must also trap
 * accesses the kernel makes for us, as KVM does; that takes CAP_SYS_PTRACE, the sysctl
 * vm.unprivileged_userfaultfd, or access to /dev/userfaultfd. Returns the descriptor or -errno.
 */
int faultfd_open(bool kernel_faults);

/* Registers guest memory (missing, write-protect): `length` bytes at `start`, page-aligned. Call before
 * anything touches it. removes: of a VMM that drops memory of its own accord (minor, too: no touch may come before what
 * it said of that was read). Returns 0 or -errno. */
int faultfd_register(int faultfd, u64 start, u64 length, bool removes);

/*
 * Whether a descriptor that came from a VMM is a userfaultfd that a manager can work with: reading anything
 * else might block for ever, and events that were not agreed on could not be followed. removes: it shall
 * report UFFD_EVENT_REMOVE. NULL when it is, else what is wrong with it.
 */
const char *faultfd_fault(int fd, bool removes);

#endif
