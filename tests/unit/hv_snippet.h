/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests of a few instructions, each made to do one thing, and the ELF file around them. The code is
 * assembled with this program and copied out as bytes; it must not depend on where it lies.
 */
#ifndef TESTS_UNIT_HV_SNIPPET_H
#define TESTS_UNIT_HV_SNIPPET_H

#include "hv/boot.h"

/* SNIPPET(name, "instructions") defines the bytes snippet_<name>[] .. snippet_<name>_end[]. */
#define SNIPPET(name, text)                                                                        \
	__asm__(".pushsection .rodata\n"                                                           \
		"snippet_" #name ":\n" text "\nsnippet_" #name "_end:\n"                           \
		".popsection\n");                                                                  \
	extern const u8 snippet_##name[], snippet_##name##_end[]

/* How a snippet ends its vCPU: exit code in eax. */
#define SNIPPET_EXIT "movw $0x604, %dx\noutl %eax, %dx\n0: jmp 0b\n"

#define SNIPPET_ELF_MAX 8192

struct snippet_elf {
	u8 bytes[SNIPPET_ELF_MAX];
	struct boot_image image;
};

/* An ELF image of one segment that holds this code at GUEST_IMAGE. */
void snippet_elf_make(struct snippet_elf *elf, const u8 *code, size_t bytes);

#define SNIPPET_ELF(elf, name)                                                                     \
	snippet_elf_make(elf, snippet_##name, (size_t)(snippet_##name##_end - snippet_##name))

#endif
