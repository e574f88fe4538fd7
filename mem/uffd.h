/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The userfaultfd ioctls, on ranges of a guest's mapping. Each takes a host-virtual address of the
 * VMM's process (`hva`) and a length in bytes, both multiples of the page size, and returns 0 or
 * -errno. Two answers are common to all:
 *
 *	-EAGAIN  the VMM is changing its mappings and an event about it is still to be read. Nothing
 *	         is lost: wake the faulting threads, they fault again.
 *	-ESRCH   the VMM's address space is gone.
 *
 * See Documentation/admin-guide/mm/userfaultfd.rst in the kernel tree.
 */
#ifndef MEM_UFFD_H
#define MEM_UFFD_H

#include "lib/types.h"

/* Traps every access to pages that the file does not have (MISSING), and writes to protected ones (WP). What the file
 * has the kernel maps by itself; what is mapped stays mapped. */
int uffd_register(int uffd, u64 hva, u64 length);

/* The same for a private mapping; without `missing`, writes alone. */
int uffd_register_frames(int uffd, u64 hva, u64 length, bool missing);

/* Lets uffd_copy() put pages into a private mapping of a file: each becomes anonymous memory, whatever the file has in its
 * place. */
int uffd_register_stage(int uffd, u64 hva, u64 length);

/* Ends trapping, removes protection, wakes. Unmapped pages are then mapped by the kernel itself. What is mapped stays so,
 * but for reading only, whatever it was before: the first write to each page costs a fault. */
int uffd_unregister(int uffd, u64 hva, u64 length);

/* The next write to the range, mapped or not, raises an event. */
int uffd_protect(int uffd, u64 hva, u64 length);

/* Undoes uffd_protect() and wakes. */
int uffd_unprotect(int uffd, u64 hva, u64 length);

/* Allocates, fills from `from`, maps and wakes; each page appears with its whole content or not at
 * all. Returns the bytes done, which may be less than asked, or -errno if none:
 * -EEXIST when the file already has the first page, -ENOMEM when there is no memory for it. */
s64 uffd_copy(int uffd, u64 hva, const void *from, u64 length);

/* As uffd_copy(), with zeros. */
s64 uffd_zero(int uffd, u64 hva, u64 length);

/* As uffd_copy(), with one page of zeros: unlike uffd_zero() even where there is nothing but protection. */
s64 uffd_blank(int uffd, u64 hva);

/* Maps pages that are in the file, without waking; those mapped already are fine. -EFAULT when the
 * file has lost one of them: those before it are mapped. */
int uffd_continue(int uffd, u64 hva, u64 length);

/* Wakes every thread that waits in the range; it tries its access again. */
int uffd_wake(int uffd, u64 hva, u64 length);

#endif
