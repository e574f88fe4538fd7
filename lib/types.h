/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words every other file is written in: fixed-width integers, page and region sizes, and the
 * two macros C forgot. Freestanding, because the nano guest is built from it as well.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define KiB (1024UL)
#define MiB (1024UL * KiB)
#define GiB (1024UL * MiB)

#define PAGE_SHIFT   12
#define PAGE_SIZE    (1UL << PAGE_SHIFT)
/* A region is what one huge page covers: the unit of mapping, ageing and whole eviction. */
#define REGION_SHIFT 21
#define REGION_SIZE  (1UL << REGION_SHIFT)
#define REGION_PAGES (REGION_SIZE / PAGE_SIZE)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))
/* align is a power of two. */
#define ALIGN_DOWN(x, align) ((x) & ~((u64)(align) - 1))
#define ALIGN_UP(x, align)   ALIGN_DOWN((x) + (u64)(align) - 1, align)

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif
