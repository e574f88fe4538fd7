/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM has mapped: its /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#ifndef MEM_PAGEMAP_H
#define MEM_PAGEMAP_H

#include "mem/space.h"

/* In an entry. */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_FILE	(1ULL << 61) /* a file's page, and no private copy */

/* The entries of `count` pages of a region, from page `first` on. Returns 0; or -EIO, it cannot be told. No lock
 * is needed; what is read may be out of date at once. */
int pagemap_read(const struct space *space, u64 first, u64 count, u64 *entries);

/* Whether by its entry the VMM has the page mapped, out of the RAM file. A frame in its place does not count: it is
 * not unmapped on request (ZAP), so that it is mapped says nothing about who used it since. */
static inline bool pagemap_at_home(const struct space *space, u64 index, u64 entry)
{
	return entry & PAGEMAP_PRESENT && !page_word_foreign(page_table_read(&space->table, index));
}

#endif
