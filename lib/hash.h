/* SPDX-License-Identifier: Apache-2.0 */
/* The hash of a page's content: XXH3, 64 bits, by the widest vectors that this processor has. Equal hashes are no equal
 * pages: collisions can be made on purpose. */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* XXH3_64bits() is chosen at run time from here on */
#endif

#include "lib/types.h"

static inline u64 hash_page(const void *page)
{
	return XXH3_64bits(page, PAGE_SIZE);
}

#endif
