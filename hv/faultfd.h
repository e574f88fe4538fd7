/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The userfaultfd by which a VMM hands its guest's faults to the manager. The VMM makes it, because
 * it belongs to an address space; it never reads an event from it.
 */
#ifndef HV_FAULTFD_H
#define HV_FAULTFD_H

#include "hv/ram.h"

/*
 * Opens a userfaultfd with the features the manager relies on. kernel_faults: must also trap
 * accesses the kernel makes for us, as KVM does; that takes CAP_SYS_PTRACE, the sysctl
 * vm.unprivileged_userfaultfd, or access to /dev/userfaultfd. Returns the descriptor or -errno.
 */
int faultfd_open(bool kernel_faults);

/* Registers all of RAM (missing, minor, write-protect). Call before anything touches it. */
int faultfd_register(int faultfd, const struct ram *ram);

#endif
