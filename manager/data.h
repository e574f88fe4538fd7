/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's data: real bytes that guests fill their memory with. A file or a whole folder becomes
 * one sealed file in memory, loaded once however many guests read it.
 */
#ifndef MANAGER_DATA_H
#define MANAGER_DATA_H

#include "lib/types.h"

struct data_cache;

/* An empty cache whose entries hold at most `max_bytes` each. Returns 0 or -ENOMEM. */
int data_cache_create(u64 max_bytes, struct data_cache **cache);

/*
 * The content of `path`: a regular file's, or that of the regular files below a folder in the order
 * of their names, one after the other; symbolic links below are not followed, and what cannot be
 * read is left out. Where there is more than max_bytes, pieces of many files are taken rather than
 * all of the first. Returns 0; *fd is the cache's and may be mapped PROT_READ; *bytes, a multiple of
 * the page size, is how much of it is content (the file is a multiple of the region size; the rest
 * reads as zero). On failure returns -errno, with the reason logged. Not thread-safe.
 */
int data_cache_get(struct data_cache *cache, const char *path, int *fd, u64 *bytes);

/* Loads what data_cache_get() would, ahead of it, which then tells why it failed. */
void data_cache_load(struct data_cache *cache, const char *path);

/* Memory all entries take, in bytes. */
u64 data_cache_bytes(const struct data_cache *cache);

/* Closes the files; guests that mapped them keep them. */
void data_cache_destroy(struct data_cache *cache);

#endif
