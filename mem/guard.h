/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guard around the manager's own accesses to a guest's RAM file. Whoever has the file can cut it
 * short, or its memory can fail, and then the access raises SIGBUS: that must cost this guest its
 * life and nobody else.
 *
 * The signal handler puts empty memory of our own where the file is missing and lets the access go
 * on. Nothing is unwound, so it may strike in any callee (a store that compresses, a source that
 * decompresses into the file) whatever locks it holds; what was read or written is worthless, and
 * guard_end() says so.
 */
#ifndef MEM_GUARD_H
#define MEM_GUARD_H

#include <signal.h>

#include "lib/types.h"

struct guard {
	u8 *from;
	u64 bytes; /* both multiples of the page size */
	struct guard *outer;
	volatile sig_atomic_t hit;
};

/* Installs the handler, once, for the process. A SIGBUS outside of any guard ends it as ever. */
void guard_install(void);

/* From here to guard_end(), in this thread, the range may be touched whatever becomes of its file.
 * Guards may nest. */
void guard_begin(struct guard *guard, u8 *from, u64 bytes);

/* Returns true when memory was missing; the range is then no longer the file's, but private. */
bool guard_end(struct guard *guard);

#endif
