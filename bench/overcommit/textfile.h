/* SPDX-License-Identifier: Apache-2.0 */
/* Small text files of the kernel's. */
#ifndef BENCH_OVERCOMMIT_TEXTFILE_H
#define BENCH_OVERCOMMIT_TEXTFILE_H

#include <stddef.h>

#include "lib/types.h"

/* Reads a whole file; a line break at its end is cut off. Returns 0 or -errno. */
int textfile_read(const char *path, char *text, size_t size);

/* Returns 0 or -errno, also when the kernel took only a part. */
int textfile_write(const char *path, const char *text);

/* The number a file starts with; 0 when there is none. */
u64 textfile_number(const char *path);

/* The number behind `key` in lines of "key number"; 0 when there is none. */
u64 textfile_field(const char *path, const char *key);

/* The word in brackets of "lzo [lz4] zstd"; the whole text when there are none. */
void textfile_choice(const char *text, char *word, size_t size);

#endif
