/* SPDX-License-Identifier: Apache-2.0 */
/* Wrapping a snippet into an ELF file. */
#include "tests/unit/hv_snippet.h"

#include <elf.h>
#include <string.h>

struct snippet_file {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	u8 code[SNIPPET_ELF_MAX - sizeof(Elf64_Ehdr) - sizeof(Elf64_Phdr)];
};

_Static_assert(sizeof(struct snippet_file) == SNIPPET_ELF_MAX, "one after the other");

void snippet_elf_make(struct snippet_elf *elf, const u8 *code, size_t bytes)
{
	static struct snippet_file file;

	file.header = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_entry = GUEST_IMAGE,
		.e_phoff = offsetof(struct snippet_file, segment),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	file.segment = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = offsetof(struct snippet_file, code),
		.p_vaddr = GUEST_IMAGE,
		.p_filesz = bytes,
		.p_memsz = bytes,
	};
	memcpy(file.code, code, bytes);
	memcpy(elf->bytes, &file, sizeof(file));
	elf->image = (struct boot_image){elf->bytes, file.segment.p_offset + bytes};
}
