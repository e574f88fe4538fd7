/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a space's RAM file is mapped in its VMM: the table that every fault asks, without a lock, while parts
 * are plugged in and out. For space.c; the others see it by space_hva(), space_index() and space_plug().
 */
#ifndef MEM_PLUG_H
#define MEM_PLUG_H

#include "mem/space.h"

/* The table of space->options.mapping. 0 or -ENOMEM. */
int space_map_create(struct space *space);
void space_map_destroy(struct space *space);

#endif
