/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel image of a guest that boots one: a file of the user's, handed to the VMM as it is. */
#ifndef MANAGER_KERNEL_H
#define MANAGER_KERNEL_H

#include "lib/types.h"

/* Opens `path` for reading. Returns 0, the caller's descriptor and the size in bytes; or -errno, with
 * the reason logged. What is in the file is for the VMM to judge. */
int kernel_open(const char *path, int *fd, u64 *bytes);

#endif
