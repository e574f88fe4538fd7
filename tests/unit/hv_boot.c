/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the guest: images damaged in every way, and page tables read back as a processor would. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest-driver/image.h"
#include "hv/boot.h"
#include "hv/layout.h"
#include "tests/unit/hv_snippet.h"

SNIPPET(nothing, "nop\nnop\nnop\nnop\n");

static struct snippet_elf elf;
static Elf64_Ehdr *header = (Elf64_Ehdr *)elf.bytes;
static Elf64_Phdr *segment = (Elf64_Phdr *)(elf.bytes + sizeof(Elf64_Ehdr));
static u64 entry;
static const char *why;

static void make_image(void)
{
	SNIPPET_ELF(&elf, nothing);
}

#define FIXTURE .init = make_image

static int check(void)
{
	return boot_check_image(&elf.image, &entry, &why);
}

static void expect_refused(const char *text)
{
	cr_assert_eq(check(), -ENOEXEC);
	cr_assert(strstr(why, text), "'%s' is not about '%s'", why, text);
}

Test(hv_boot, sound_image_is_accepted, FIXTURE)
{
	cr_assert_eq(check(), 0, "%s", why);
	cr_assert_eq(entry, GUEST_IMAGE);
}

Test(hv_boot, embedded_guest_is_accepted, FIXTURE)
{
	elf.image = (struct boot_image){guest_image_start,
					(size_t)(guest_image_end - guest_image_start)};
	cr_assert_eq(check(), 0, "%s", why);
}

Test(hv_boot, every_truncation_is_refused, FIXTURE)
{
	for (size_t bytes = 0; bytes < segment->p_offset + segment->p_filesz; bytes++) {
		elf.image.bytes = bytes;
		cr_assert_eq(check(), -ENOEXEC, "%zu bytes", bytes);
	}
}

Test(hv_boot, other_kinds_of_file_are_refused, FIXTURE)
{
	header->e_machine = EM_AARCH64;
	expect_refused("x86-64");
	header->e_machine = EM_X86_64;
	header->e_type = ET_DYN;
	expect_refused("static");
	header->e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused("ELF64");
}

Test(hv_boot, segment_headers_outside_the_file_are_refused, FIXTURE)
{
	header->e_phoff = UINT64_MAX - 8;
	expect_refused("beyond the end");
	header->e_phoff = sizeof(*header);
	header->e_phnum = 2000;
	expect_refused("too many");
	header->e_phnum = 0;
	expect_refused("no segments");
	header->e_phnum = 1;
	header->e_phentsize = 8;
	expect_refused("unknown size");
}

Test(hv_boot, segments_outside_the_file_are_refused, FIXTURE)
{
	segment->p_offset = UINT64_MAX;
	expect_refused("beyond the end");
	segment->p_offset = 0;
	segment->p_filesz = segment->p_memsz = UINT64_MAX;
	expect_refused("beyond the end");
}

Test(hv_boot, segments_outside_the_image_area_are_refused, FIXTURE)
{
	segment->p_vaddr = GUEST_TABLES;
	expect_refused("outside");
	segment->p_vaddr = GUEST_LOW_BYTES;
	expect_refused("outside");
	segment->p_vaddr = UINT64_MAX - 1;
	expect_refused("outside");
	segment->p_vaddr = GUEST_IMAGE;
	segment->p_memsz = UINT64_MAX;
	expect_refused("outside");
	segment->p_memsz = GUEST_LOW_BYTES - GUEST_IMAGE;
	expect_refused("outside");
}

Test(hv_boot, segment_larger_in_file_than_in_memory_is_refused, FIXTURE)
{
	segment->p_memsz = 1;
	expect_refused("larger");
}

Test(hv_boot, entry_outside_the_code_is_refused, FIXTURE)
{
	header->e_entry = GUEST_IMAGE - 1;
	expect_refused("entry");
	header->e_entry = GUEST_IMAGE + segment->p_filesz;
	expect_refused("entry");
	header->e_entry = GUEST_IMAGE;
	segment->p_flags = PF_R;
	expect_refused("entry");
}

/* Whatever bits are flipped, an accepted image loads without touching what it must not: the memory
 * around the image area is not mapped at all here, so a stray byte would be a crash. */
Test(hv_boot, damaged_images_never_write_outside_their_area, FIXTURE)
{
	struct ram ram;
	u32 accepted = 0;

	srandom(1);
	cr_assert_eq(ram_map_plain(&ram, 4 * MiB, false), 0);
	memset(ram.base, 0x5a, 4 * MiB);
	for (u32 i = 0; i < 20000; i++) {
		make_image();
		for (u32 flips = 0; flips < 3; flips++)
			elf.bytes[(u64)random() % elf.image.bytes] ^= 1U << (random() % 8);
		if (check())
			continue;
		accepted++;
		boot_load_image(&ram, &elf.image);
	}
	cr_assert_gt(accepted, 0);
	for (u64 i = 0; i < GUEST_IMAGE; i++)
		cr_assert_eq(ram.base[i], 0x5a, "at 0x%lx", i);
	for (u64 i = boot_stack_top(0) - GUEST_STACK_BYTES; i < 4 * MiB; i++)
		cr_assert_eq(ram.base[i], 0x5a, "at 0x%lx", i);
	ram_unmap(&ram);
}

/* The entry that maps a guest-virtual address, and the size of its page; 0: not mapped. */
static u64 walk(const struct ram *ram, u64 address, u64 *size)
{
	u64 at = GUEST_TABLES;

	for (int shift = 39; shift >= 12; shift -= 9) {
		u64 pte = ((u64 *)(ram->base + at))[address >> shift & 511];

		if (!(pte & 1))
			return 0;
		*size = 1UL << shift;
		if (shift == 12 || pte & 0x80)
			return pte;
		at = pte & 0xffffffffff000;
		cr_assert_lt(at, GUEST_IMAGE, "a table outside its place");
	}
	return 0;
}

static u64 translate(const struct ram *ram, u64 address)
{
	u64 size, pte = walk(ram, address, &size);

	return pte ? (pte & 0xffffffffff000 & ~(size - 1)) + address % size : UINT64_MAX;
}

static bool writable(const struct ram *ram, u64 address)
{
	u64 size;

	return walk(ram, address, &size) & 2;
}

Test(hv_boot, tables_map_what_the_abi_says, FIXTURE)
{
	struct ram ram;

	cr_assert_eq(ram_map_plain(&ram, 5 * GiB, false), 0);
	boot_build_tables(&ram, 3 * MiB);
	cr_assert_eq(translate(&ram, 0), UINT64_MAX);
	cr_assert_eq(translate(&ram, GUEST_TABLES), UINT64_MAX);
	cr_assert_eq(translate(&ram, GUEST_BOOT + 5), GUEST_BOOT + 5);
	cr_assert_eq(translate(&ram, GUEST_IMAGE), GUEST_IMAGE);
	cr_assert_eq(translate(&ram, 3 * GiB - 1), 3 * GiB - 1);
	cr_assert_eq(translate(&ram, 3 * GiB), 4 * GiB);
	cr_assert_eq(translate(&ram, 5 * GiB - 1), 6 * GiB - 1);
	cr_assert_eq(translate(&ram, 5 * GiB), UINT64_MAX);
	cr_assert_eq(translate(&ram, GUEST_MMIO), HV_MMIO_GPA);
	cr_assert_eq(translate(&ram, GUEST_BALLOON), HV_BALLOON_GPA);
	cr_assert_eq(translate(&ram, GUEST_BALLOON + PAGE_SIZE), UINT64_MAX);
	cr_assert_eq(translate(&ram, GUEST_DATA + MiB), layout_data_gpa(ram.bytes) + MiB);
	cr_assert_eq(translate(&ram, GUEST_DATA + 4 * MiB), UINT64_MAX);
	cr_assert(writable(&ram, 5 * GiB - 1));
	cr_assert_not(writable(&ram, GUEST_DATA));
	cr_assert_not(writable(&ram, HV_TASK_STATE));
	cr_assert_not(writable(&ram, HV_TASK_STATE + HV_TASK_LIMIT));
	cr_assert(writable(&ram, GUEST_STATS));
	ram_unmap(&ram);
}

Test(hv_boot, sizes_are_bounded, FIXTURE)
{
	cr_assert_eq(boot_check_size(512 * MiB, 0), 0);
	cr_assert_eq(boot_check_size(64 * GiB, GiB), 0);
	cr_assert_eq(boot_check_size(2 * MiB, 0), -EINVAL);
	cr_assert_eq(boot_check_size(0, 0), -EINVAL);
	cr_assert_eq(boot_check_size(4 * MiB + 1, 0), -EINVAL);
	cr_assert_eq(boot_check_size(200 * GiB, 0), -E2BIG);
	cr_assert_eq(boot_check_size(UINT64_MAX - REGION_SIZE + 1, UINT64_MAX), -E2BIG);
}

/* The largest guest that is accepted has room for its tables. */
Test(hv_boot, tables_of_the_largest_guest_fit, FIXTURE)
{
	u64 bytes = 256 * GiB;
	struct ram ram;

	while (boot_check_size(bytes, GiB))
		bytes -= GiB;
	cr_assert_eq(ram_map_plain(&ram, bytes, false), 0);
	boot_build_tables(&ram, GiB);
	cr_assert_eq(translate(&ram, bytes - 1), layout_ram_gpa(bytes - 1));
	cr_assert_neq(translate(&ram, GUEST_DATA + GiB - 1), UINT64_MAX);
	for (u64 i = GUEST_IMAGE; i < GUEST_LOW_BYTES; i++)
		cr_assert_eq(ram.base[i], 0, "tables grew into the image");
	ram_unmap(&ram);
}
