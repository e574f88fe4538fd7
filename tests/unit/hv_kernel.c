/* SPDX-License-Identifier: Apache-2.0 */
/* Making a kernel's file. */
#include "tests/unit/hv_kernel.h"

#include <string.h>

static Elf64_Phdr load(u64 gpa, u64 offset, u64 file_bytes, u64 memory_bytes)
{
	return (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = offset,
		.p_vaddr = gpa + 0xffffffff80000000,
		.p_paddr = gpa,
		.p_filesz = file_bytes,
		.p_memsz = memory_bytes,
	};
}

void test_kernel_make(struct test_kernel *kernel, const u8 *code, size_t bytes)
{
	const u64 text = offsetof(struct test_kernel, code);

	*kernel = (struct test_kernel){
		.text = load(KERNEL_TEXT_GPA, text, KERNEL_TEXT_BYTES, KERNEL_TEXT_BYTES),
		.data = load(KERNEL_DATA_GPA, text + KERNEL_TEXT_BYTES, KERNEL_DATA_BYTES, 9000),
		.other = {{4, 4, 1}, "GNU", 7},
		.entry = {{4, 4, 18}, "Xen", KERNEL_ENTRY},
	};
	kernel->header = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_entry = 1, /* of no meaning to PVH */
		.e_phoff = offsetof(struct test_kernel, text),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	kernel->notes = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = offsetof(struct test_kernel, other),
		.p_filesz = 2 * sizeof(struct test_note),
	};
	for (u32 i = 0; i < sizeof(kernel->code); i++)
		kernel->code[i] = (u8)(i + 1);
	if (bytes)
		memcpy(kernel->code + (KERNEL_ENTRY - KERNEL_TEXT_GPA), code, bytes);
}
