/* SPDX-License-Identifier: Apache-2.0 */
/* The loader of kernels: images damaged in every way, and what a sound one leaves in memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/pvh.h"
#include "tests/unit/hv_kernel.h"

#define RAM_BYTES (32 * MiB)

static struct test_kernel kernel;
static struct pvh_image image;
static const char *why;
static u64 file_bytes;

static void make_kernel(void)
{
	test_kernel_make(&kernel, NULL, 0);
	file_bytes = sizeof(kernel);
}

#define FIXTURE .init = make_kernel

static int kernel_file(u64 bytes)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &kernel, bytes, 0), (ssize_t)bytes);
	return fd;
}

/* The image does not outlive the call. */
static int try_open(void)
{
	int fd = kernel_file(file_bytes);
	int err = pvh_open(fd, file_bytes, RAM_BYTES, &image, &why);

	if (!err)
		pvh_close(&image);
	close(fd);
	return err;
}

static void expect_refused(const char *text)
{
	cr_expect_eq(try_open(), -ENOEXEC);
	cr_expect(strstr(why, text), "'%s' is not about '%s'", why, text);
	make_kernel();
}

Test(hv_pvh, sound_kernel_is_accepted, FIXTURE)
{
	cr_assert_eq(try_open(), 0, "%s", why);
	cr_assert_eq(image.entry, KERNEL_ENTRY);
	cr_assert_eq(image.count, 2);
}

Test(hv_pvh, every_short_file_is_refused, FIXTURE)
{
	for (file_bytes = 0; file_bytes < sizeof(kernel); file_bytes++)
		cr_assert_eq(try_open(), -ENOEXEC, "%lu bytes", file_bytes);
}

Test(hv_pvh, a_file_shorter_than_it_was_said_to_be_is_refused, FIXTURE)
{
	int fd = kernel_file(sizeof(kernel.header) + 10);

	cr_assert_eq(pvh_open(fd, sizeof(kernel), RAM_BYTES, &image, &why), -ENOEXEC);
	close(fd);
}

Test(hv_pvh, other_kinds_of_file_are_refused, FIXTURE)
{
	memcpy(kernel.header.e_ident, "MZ", 2);
	expect_refused("not an ELF file");
	kernel.header.e_machine = EM_386;
	expect_refused("x86-64");
	kernel.header.e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused("x86-64");
	kernel.header.e_type = ET_REL;
	expect_refused("executable");
}

Test(hv_pvh, segment_headers_outside_the_file_are_refused, FIXTURE)
{
	kernel.header.e_phoff = UINT64_MAX - 8;
	expect_refused("beyond the end");
	kernel.header.e_phoff = sizeof(kernel);
	expect_refused("beyond the end");
	kernel.header.e_phnum = UINT16_MAX;
	expect_refused("too many");
	kernel.header.e_phnum = 0;
	expect_refused("no segments");
	kernel.header.e_phentsize = 32;
	expect_refused("unknown size");
}

Test(hv_pvh, segments_outside_the_file_are_refused, FIXTURE)
{
	kernel.text.p_offset = UINT64_MAX;
	expect_refused("beyond the end");
	kernel.text.p_filesz = kernel.text.p_memsz = UINT64_MAX;
	expect_refused("beyond the end");
	kernel.data.p_filesz = 101;
	expect_refused("beyond the end");
	kernel.text.p_memsz = 499;
	expect_refused("larger in the file");
}

Test(hv_pvh, segments_that_wrap_or_overlap_are_refused, FIXTURE)
{
	kernel.data.p_paddr = UINT64_MAX - 10;
	expect_refused("beyond the end of all memory");
	kernel.data.p_memsz = UINT64_MAX;
	expect_refused("beyond the end of all memory");
	kernel.data.p_paddr = KERNEL_TEXT_GPA + 499;
	expect_refused("overlap");
	kernel.data.p_paddr = KERNEL_TEXT_GPA - 8999;
	expect_refused("overlap");
	kernel.text.p_paddr = PVH_START_INFO;
	expect_refused("below 1 MiB");
}

Test(hv_pvh, a_kernel_beyond_ram_does_not_fit, FIXTURE)
{
	kernel.data.p_paddr = RAM_BYTES - 8999;
	cr_expect_eq(try_open(), -E2BIG);
	cr_expect(strstr(why, "does not fit"), "%s", why);
	kernel.data.p_paddr = RAM_BYTES - 9000;
	cr_expect_eq(try_open(), 0, "%s", why);
	kernel.data.p_paddr = 5 * GiB;
	cr_expect_eq(try_open(), -E2BIG);
}

/* Memory goes on above the hole for devices, but a segment cannot be in two pieces. */
Test(hv_pvh, a_kernel_in_the_hole_does_not_fit, FIXTURE)
{
	int fd;

	kernel.data.p_paddr = 3 * GiB - 4096;
	fd = kernel_file(sizeof(kernel));
	cr_expect_eq(pvh_open(fd, sizeof(kernel), 8 * GiB, &image, &why), -E2BIG);
	close(fd);
}

Test(hv_pvh, a_kernel_without_an_entry_note_is_refused, FIXTURE)
{
	kernel.entry.header.n_type = 1;
	expect_refused("no PVH entry note");
	memcpy(kernel.entry.owner, "xen", 4);
	expect_refused("no PVH entry note");
	kernel.notes.p_type = PT_NULL;
	expect_refused("no PVH entry note");
	kernel.entry.header.n_descsz = 16;
	expect_refused("no PVH entry note");
	kernel.other.header.n_namesz = UINT32_MAX;
	expect_refused("no PVH entry note");
	kernel.other.header.n_descsz = UINT32_MAX - 2;
	expect_refused("no PVH entry note");
	kernel.notes.p_filesz = UINT64_MAX;
	expect_refused("notes beyond");
}

Test(hv_pvh, an_entry_outside_the_code_is_refused, FIXTURE)
{
	kernel.entry.value = KERNEL_TEXT_GPA - 1;
	expect_refused("outside its code");
	kernel.entry.value = KERNEL_TEXT_GPA + 500;
	expect_refused("outside its code");
	kernel.entry.value = KERNEL_DATA_GPA + 100;
	expect_refused("outside its code");
}

Test(hv_pvh, segments_are_loaded_where_they_belong, FIXTURE)
{
	int fd = kernel_file(sizeof(kernel));
	struct ram ram;

	cr_assert_eq(ram_map_plain(&ram, RAM_BYTES, false), 0);
	cr_assert_eq(pvh_open(fd, sizeof(kernel), RAM_BYTES, &image, &why), 0, "%s", why);
	close(fd);
	cr_assert_eq(pvh_load(&image, &ram), 0);
	pvh_close(&image);
	pvh_close(&image);
	cr_expect_arr_eq(ram.base + KERNEL_TEXT_GPA, kernel.code, 500);
	cr_expect_eq(ram.base[KERNEL_TEXT_GPA + 500], 0);
	cr_expect_arr_eq(ram.base + KERNEL_DATA_GPA, kernel.code + 500, 100);
	cr_expect_eq(ram.base[KERNEL_DATA_GPA + 100], 0);
	ram_unmap(&ram);
}

Test(hv_pvh, a_file_cut_short_after_the_check_is_an_error, FIXTURE)
{
	int fd = kernel_file(sizeof(kernel));
	struct ram ram;

	cr_assert_eq(ram_map_plain(&ram, RAM_BYTES, false), 0);
	cr_assert_eq(pvh_open(fd, sizeof(kernel), RAM_BYTES, &image, &why), 0, "%s", why);
	cr_assert_eq(ftruncate(fd, sizeof(kernel) - 50), 0);
	cr_assert_eq(pvh_load(&image, &ram), -ENODATA);
	pvh_close(&image);
	close(fd);
	ram_unmap(&ram);
}

static u64 word(const struct ram *ram, u64 at)
{
	u64 value;

	memcpy(&value, ram->base + at, sizeof(value));
	return value;
}

/* Field by field, at the offsets of the ABI's description. */
Test(hv_pvh, start_info_says_where_memory_and_command_line_are)
{
	struct ram ram;
	u64 map;

	cr_assert_eq(ram_map_plain(&ram, 5 * GiB, false), 0);
	pvh_write_start_info(&ram, "console=ttyS0 quiet");
	cr_expect_eq((u32)word(&ram, PVH_START_INFO), 0x336ec578);
	cr_expect_eq(word(&ram, PVH_START_INFO) >> 32, 1); /* version */
	cr_expect_str_eq((char *)ram.base + word(&ram, PVH_START_INFO + 24), "console=ttyS0 quiet");
	map = word(&ram, PVH_START_INFO + 40);
	cr_assert_eq(word(&ram, PVH_START_INFO + 48), 4); /* entries */
	cr_expect_eq(word(&ram, map), 0);
	cr_expect_eq(word(&ram, map + 8), 640 * KiB);
	cr_expect_eq(word(&ram, map + 16), 1);
	cr_expect_eq(word(&ram, map + 24 + 16), 2);
	cr_expect_eq(word(&ram, map + 48), MiB);
	cr_expect_eq(word(&ram, map + 48 + 8), 3 * GiB - MiB);
	cr_expect_eq(word(&ram, map + 72), 4 * GiB);
	cr_expect_eq(word(&ram, map + 72 + 8), 2 * GiB);
	ram_unmap(&ram);
}

Test(hv_pvh, a_long_command_line_is_cut_and_ends)
{
	static char cmdline[2 * PVH_CMDLINE_MAX];
	struct ram ram;

	memset(cmdline, 'x', sizeof(cmdline) - 1);
	cr_assert_eq(ram_map_plain(&ram, 4 * MiB, false), 0);
	pvh_write_start_info(&ram, cmdline);
	cr_expect_eq(strlen((char *)ram.base + word(&ram, PVH_START_INFO + 24)),
		     PVH_CMDLINE_MAX - 1);
	ram_unmap(&ram);
}

/* Whatever bits are flipped in the headers, a kernel that is accepted loads inside RAM. */
Test(hv_pvh, damaged_kernels_never_load_outside_ram, FIXTURE)
{
	u32 accepted = 0;
	struct ram ram;

	srandom(1);
	cr_assert_eq(ram_map_plain(&ram, RAM_BYTES, false), 0);
	for (u32 i = 0; i < 20000; i++) {
		int fd;

		make_kernel();
		for (u32 flips = 0; flips < 2; flips++)
			((u8 *)&kernel)[(u64)random() % offsetof(struct test_kernel, code)] ^=
				1U << (random() % 8);
		fd = kernel_file(sizeof(kernel));
		if (!pvh_open(fd, sizeof(kernel), RAM_BYTES, &image, &why)) {
			cr_assert_eq(pvh_load(&image, &ram), 0);
			pvh_close(&image);
			accepted++;
		}
		close(fd);
	}
	cr_assert_gt(accepted, 0);
	for (u64 i = 0; i < MiB; i++)
		cr_assert_eq(ram.base[i], 0, "at 0x%lx", i);
	ram_unmap(&ram);
}
