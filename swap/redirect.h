/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a load from the pool that has to go on in the swap file: pages whose shared blob was
 * written back. Their descriptors still say PAGE_COMPRESSED, and only the entry knows.
 */
#ifndef SWAP_REDIRECT_H
#define SWAP_REDIRECT_H

#include "mem/source.h"

struct redirect;
struct shared;

/* For pages of this load. NULL: no memory. */
struct redirect *redirect_create(struct page_load *load, struct shared *shared);

/* Adds slot `index` of the load: entry `number`, pinned by shared_read() at `place`. */
void redirect_add(struct redirect *redirect, u32 index, u32 number, u64 place);

/*
 * Loads what was added from the file's source. Returns -EINPROGRESS, and load->done will be called once
 * their results are in their slots; or 0, when they are already. The redirect frees itself.
 */
int redirect_start(struct redirect *redirect, struct page_source *disk);

#endif
