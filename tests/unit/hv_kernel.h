/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a kernel of a few instructions: two segments, and a note that names its PVH entry. */
#ifndef TESTS_UNIT_HV_KERNEL_H
#define TESTS_UNIT_HV_KERNEL_H

#include <elf.h>

#include "lib/types.h"

#define KERNEL_TEXT_GPA	  (16 * MiB)
#define KERNEL_DATA_GPA	  (18 * MiB)
#define KERNEL_ENTRY	  (KERNEL_TEXT_GPA + 16)
#define KERNEL_TEXT_BYTES 500U
#define KERNEL_DATA_BYTES 100U

struct test_kernel {
	Elf64_Ehdr header;
	Elf64_Phdr text, data, notes;
	struct test_note {
		Elf64_Nhdr header;
		char owner[4];
		u32 value;
	} other, entry;
	u8 code[KERNEL_TEXT_BYTES + KERNEL_DATA_BYTES];
};

/* With this code at its entry; what is left is filled with a pattern. */
void test_kernel_make(struct test_kernel *kernel, const u8 *code, size_t bytes);

#endif
