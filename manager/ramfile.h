/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that is a guest's RAM: unlinked, in memory, mapped by the VMM and, as its alias, by the
 * manager. Nothing else in the system can name it, and it is gone with its last descriptor.
 */
#ifndef MANAGER_RAMFILE_H
#define MANAGER_RAMFILE_H

#include "lib/types.h"

/*
 * Makes a RAM file of `bytes` (a multiple of the region size), all of it holes. With `huge`, one
 * whose regions become 2 MiB pages where a mapping asks for them by MADV_HUGEPAGE; *got_huge says
 * whether that was possible (it takes CAP_SYS_ADMIN, or a host whose shmem_enabled allows it).
 * Returns a descriptor the caller owns, or -errno.
 *
 * Only a file without huge pages of its own mount is sealed against truncation: the kernel seals
 * memfds and nothing else. Who hands such a file to a process must forbid it ftruncate(2), or be
 * ready for SIGBUS on its own mapping.
 */
int ramfile_create(u64 bytes, bool huge, bool *got_huge);

#endif
