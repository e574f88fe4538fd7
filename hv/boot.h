/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a nano guest into memory: its program, its page tables, its boot page. There is no
 * firmware and no boot protocol; guest-driver/abi.h says where everything lies.
 *
 * boot_check_image() reads only the image; all the others write guest memory, hence may wait for the
 * manager, and check nothing that boot_check_image() and boot_check_size() have not.
 */
#ifndef HV_BOOT_H
#define HV_BOOT_H

#include "guest-driver/abi.h"
#include "hv/ram.h"

/* An ELF file in memory. */
struct boot_image {
	const u8 *start;
	size_t bytes;
};

/* Checks every length, offset and address of a static ELF64 x86-64 image, whose segments must lie
 * between GUEST_IMAGE and the stacks. Returns 0 and its entry point, or -ENOEXEC and why. */
int boot_check_image(const struct boot_image *image, u64 *entry, const char **why);

/* Returns 0, or -E2BIG when RAM and data take more page tables than there is room for, -EINVAL when
 * RAM has no heap. Bytes. */
int boot_check_size(u64 ram_bytes, u64 data_bytes);

/* Copies the segments of a checked image. */
void boot_load_image(const struct ram *ram, const struct boot_image *image);

/* Builds the page tables. Their root is at guest-physical GUEST_TABLES. */
void boot_build_tables(const struct ram *ram, u64 data_bytes);

/*
 * Writes the task state segment, which permits all ports. IOPL 3 says the same, but KVM-PVM does not
 * keep IOPL, and looks here.
 */
void boot_write_task_state(const struct ram *ram);

/* Where the stack of a vCPU ends; the return address of the first function is below. */
u64 boot_stack_top(u32 vcpu);

#endif
