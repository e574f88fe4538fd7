/* SPDX-License-Identifier: Apache-2.0 */
/* Making the swap file: without buffering, of full size, and never over somebody's data. */
#ifndef SWAP_OPENFILE_H
#define SWAP_OPENFILE_H

#include "lib/types.h"

/*
 * Creates the file with `bytes` of space and returns its descriptor, or -errno with the reason
 * logged. An old swap file at this path, one that `keep` left behind, is replaced; anything else that
 * is not empty is refused. Without `keep` the name is gone on return, the space when the descriptor
 * closes: however the process ends.
 */
int openfile_open(const char *path, u64 bytes, bool keep);

#endif
