/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/pagemap.h"

#include <errno.h>
#include <unistd.h>

int pagemap_read(const struct space *space, u64 first, u64 count, u64 *entries)
{
	u64 place = space_hva(space, first) / PAGE_SIZE * sizeof(entries[0]);
	size_t bytes = count * sizeof(entries[0]);

	return pread(space->options.pagemap, entries, bytes, (off_t)place) == (ssize_t)bytes ? 0
											     : -EIO;
}
