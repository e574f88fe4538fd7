/* SPDX-License-Identifier: Apache-2.0 */
/* memcpy, memset and memcmp: the C library's on the host, memory.c's in the guest. */
#ifndef GUEST_DRIVER_MEMORY_H
#define GUEST_DRIVER_MEMORY_H

#if __STDC_HOSTED__
#include <string.h>
#else
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
#endif

#endif
