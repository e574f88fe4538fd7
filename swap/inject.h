/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on demand, for tests: every transfer between memory and the swap file passes these hooks.
 * NULL in production.
 */
#ifndef SWAP_INJECT_H
#define SWAP_INJECT_H

#include "lib/types.h"

enum swap_io { SWAP_IO_READ, SWAP_IO_WRITE };

struct swap_inject {
	/* Before a transfer: may change what is about to be written (a torn or damaged block). */
	void (*before)(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		       u32 length);

	/* After it: returns the result to go on with, bytes or -errno (EIO, ENOSPC, a short count),
	 * and may change what was read. Called from any thread, several at once. */
	s32 (*after)(struct swap_inject *inject, enum swap_io op, u64 offset, void *buffer,
		     u32 length, s32 result);
};

#endif
