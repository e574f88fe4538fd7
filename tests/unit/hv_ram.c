/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: where it is mapped, and that no guest address leads out of it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "hv/layout.h"
#include "hv/ram.h"

#define RAM_BYTES (16 * MiB)

static struct ram ram;

static void map_plain(void)
{
	cr_assert_eq(ram_map_plain(&ram, RAM_BYTES, false), 0);
}

static void unmap(void)
{
	ram_unmap(&ram);
}

#define FIXTURE .init = map_plain, .fini = unmap

static int look_up(u64 address, u64 length)
{
	hva_t hva;

	return gpa_to_hva(&ram, gpa(address), length, &hva);
}

Test(hv_ram, is_aligned_for_huge_pages, FIXTURE)
{
	cr_assert_eq((u64)ram.base % REGION_SIZE, 0);
}

Test(hv_ram, every_byte_is_found, FIXTURE)
{
	hva_t hva;

	cr_assert_eq(gpa_to_hva(&ram, gpa(0), RAM_BYTES, &hva), 0);
	cr_assert_eq(hva.ptr, ram.base);
	cr_assert_eq(gpa_to_hva(&ram, gpa(RAM_BYTES - 1), 1, &hva), 0);
	cr_assert_eq(hva.ptr, ram.base + RAM_BYTES - 1);
}

Test(hv_ram, nothing_beyond_the_end_is_found, FIXTURE)
{
	cr_assert_eq(look_up(RAM_BYTES, 1), -EFAULT);
	cr_assert_eq(look_up(RAM_BYTES - 1, 2), -EFAULT);
	cr_assert_eq(look_up(0, RAM_BYTES + 1), -EFAULT);
	cr_assert_eq(look_up(HV_MMIO_GPA, 4), -EFAULT);
}

Test(hv_ram, sums_that_overflow_are_refused, FIXTURE)
{
	cr_assert_eq(look_up(UINT64_MAX, 1), -EFAULT);
	cr_assert_eq(look_up(UINT64_MAX, 2), -EFAULT);
	cr_assert_eq(look_up(1, UINT64_MAX), -EFAULT);
	cr_assert_eq(look_up(UINT64_MAX - 4095, 8192), -EFAULT);
}

Test(hv_ram, empty_ranges_are_refused, FIXTURE)
{
	cr_assert_eq(look_up(0, 0), -EFAULT);
}

/* Reserves 5 GiB of addresses, no memory. */
Test(hv_ram, large_memory_has_a_hole_for_devices, FIXTURE)
{
	hva_t hva;

	ram_unmap(&ram);
	cr_assert_eq(ram_map_plain(&ram, 5 * GiB, false), 0);
	cr_assert_eq(ram.count, 2);
	cr_assert_eq(look_up(HV_HOLE_START - 1, 1), 0);
	cr_assert_eq(look_up(HV_HOLE_START - 1, 2), -EFAULT);
	cr_assert_eq(look_up(HV_MMIO_GPA, 1), -EFAULT);
	cr_assert_eq(look_up(HV_HOLE_END - 1, 2), -EFAULT);
	cr_assert_eq(gpa_to_hva(&ram, gpa(HV_HOLE_END), 1, &hva), 0);
	cr_assert_eq(hva.ptr, ram.base + HV_HOLE_START, "contiguous in the file");
	cr_assert_eq(look_up(6 * GiB - 1, 1), 0);
	cr_assert_eq(look_up(6 * GiB, 1), -EFAULT);
	cr_assert_geq(layout_data_gpa(ram.bytes), 6 * GiB);
}

Test(hv_ram, odd_sizes_are_refused, FIXTURE)
{
	struct ram odd;

	cr_assert_eq(ram_map_plain(&odd, 0, false), -EINVAL);
	cr_assert_eq(ram_map_plain(&odd, REGION_SIZE + PAGE_SIZE, false), -EINVAL);
	cr_assert_eq(ram_map_plain(&odd, UINT64_MAX - REGION_SIZE + 1, false), -EINVAL);
}

Test(hv_ram, file_shorter_than_memory_is_refused, FIXTURE)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	struct ram mapped;

	cr_assert_eq(ftruncate(fd, RAM_BYTES - 1), 0);
	cr_assert_eq(ram_map_file(&mapped, fd, RAM_BYTES), -EINVAL);
	close(fd);
}

Test(hv_ram, zap_stays_within_memory, FIXTURE)
{
	cr_assert_eq(ram_zap(&ram, 0, RAM_BYTES), 0);
	cr_assert_eq(ram_zap(&ram, RAM_BYTES, PAGE_SIZE), -EFAULT);
	cr_assert_eq(ram_zap(&ram, 0, RAM_BYTES + PAGE_SIZE), -EFAULT);
	cr_assert_eq(ram_zap(&ram, -PAGE_SIZE, 2 * PAGE_SIZE), -EFAULT);
	cr_assert_eq(ram_zap(&ram, 1, PAGE_SIZE), -EFAULT);
	cr_assert_eq(ram_zap(&ram, 0, 0), -EFAULT);
}

Test(hv_ram, userfaultfd_covers_all_of_it, FIXTURE)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);
	struct ram mapped;
	int faultfd;

	cr_assert_eq(ftruncate(fd, RAM_BYTES), 0);
	cr_assert_eq(ram_map_file(&mapped, fd, RAM_BYTES), 0);
	faultfd = faultfd_open(false);
	if (faultfd == -EPERM || faultfd == -ENOSYS)
		cr_skip_test("no userfaultfd here");
	cr_assert_geq(faultfd, 0);
	cr_assert_eq(faultfd_register(faultfd, (u64)(uintptr_t)mapped.base, mapped.bytes, false),
		     0);
	close(faultfd);
	ram_unmap(&mapped);
	close(fd);
}

/* Frames in the place of guest memory, and the RAM file again; what was written between is nobody else's. */
Test(hv_ram, frames_are_mapped_privately_and_ram_comes_home)
{
	int file = memfd_create("ram", MFD_CLOEXEC), frames = memfd_create("frames", MFD_CLOEXEC);
	struct ram mapped;
	u8 byte = 7;

	cr_assert(!ftruncate(file, RAM_BYTES) && !ftruncate(frames, 2 * PAGE_SIZE));
	cr_assert_eq(pwrite(frames, &byte, 1, PAGE_SIZE), 1);
	cr_assert_eq(ram_map_file(&mapped, file, RAM_BYTES), 0);
	cr_assert_eq(ram_remap(&mapped, 0, PAGE_SIZE, 0), -EFAULT, "nothing is shared yet");
	cr_assert_eq(ram_share(&mapped, file, frames, 2 * PAGE_SIZE), 0);
	cr_assert_eq(ram_remap(&mapped, 3 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE), 0);
	cr_expect_eq(mapped.base[3 * PAGE_SIZE], 7);
	mapped.base[3 * PAGE_SIZE] = 8;
	cr_expect(pread(frames, &byte, 1, PAGE_SIZE) == 1 && byte == 7);
	/* Unmapping the rest leaves out what is nowhere else. */
	cr_assert_eq(ram_zap(&mapped, 0, RAM_BYTES), 0);
	cr_expect_eq(mapped.base[3 * PAGE_SIZE], 8);
	cr_assert_eq(ram_remap(&mapped, 3 * PAGE_SIZE, PAGE_SIZE, RAM_HOME), 0);
	cr_expect_eq(mapped.base[3 * PAGE_SIZE], 0);
	ram_unmap(&mapped);
	close(frames);
	close(file);
}

/* A region composed beside guest memory, and moved into it. */
Test(hv_ram, a_region_is_staged_and_moved)
{
	int file = memfd_create("ram", MFD_CLOEXEC), frames = memfd_create("frames", MFD_CLOEXEC);
	struct ram mapped;
	u8 byte = 7;

	cr_assert(!ftruncate(file, RAM_BYTES) && !ftruncate(frames, 2 * REGION_SIZE));
	cr_assert_eq(pwrite(frames, &byte, 1, REGION_SIZE), 1);
	cr_assert_eq(ram_map_file(&mapped, file, RAM_BYTES), 0);
	cr_assert_eq(ram_share(&mapped, file, frames, 2 * REGION_SIZE), 0);
	cr_expect_eq(ram_remap(&mapped, 0, REGION_SIZE, RAM_MOVE), -EFAULT, "nothing is staged");
	cr_expect_eq(ram_remap(&mapped, RAM_STAGE, PAGE_SIZE, 0), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, RAM_STAGE, REGION_SIZE, 2 * REGION_SIZE), -EFAULT);
	cr_assert_eq(ram_remap(&mapped, RAM_STAGE, REGION_SIZE, REGION_SIZE), 0);
	cr_expect_eq(mapped.base[0], 0);
	mapped.stage[PAGE_SIZE] = 9;
	cr_expect_eq(ram_remap(&mapped, PAGE_SIZE, REGION_SIZE, RAM_MOVE), -EFAULT);
	cr_assert_eq(ram_remap(&mapped, 0, REGION_SIZE, RAM_MOVE), 0);
	cr_expect_eq(mapped.base[0], 7);
	cr_expect_eq(mapped.base[PAGE_SIZE], 9);
	cr_expect_eq(ram_remap(&mapped, 0, REGION_SIZE, RAM_MOVE), -EFAULT, "it has been moved");
	/* What was put there is nowhere else. */
	cr_assert_eq(ram_zap(&mapped, 0, RAM_BYTES), 0);
	cr_expect_eq(mapped.base[PAGE_SIZE], 9);
	cr_assert_eq(ram_remap(&mapped, 0, REGION_SIZE, RAM_HOME), 0);
	cr_expect_eq(mapped.base[PAGE_SIZE], 0);
	ram_unmap(&mapped);
	close(frames);
	close(file);
}

Test(hv_ram, remaps_stay_within_memory_and_frames)
{
	int file = memfd_create("ram", MFD_CLOEXEC), frames = memfd_create("frames", MFD_CLOEXEC);
	struct ram mapped;

	cr_assert(!ftruncate(file, RAM_BYTES) && !ftruncate(frames, 2 * PAGE_SIZE));
	cr_assert_eq(ram_map_file(&mapped, file, RAM_BYTES), 0);
	cr_assert_eq(ram_share(&mapped, file, frames, 2 * PAGE_SIZE), 0);
	cr_expect_eq(ram_remap(&mapped, RAM_BYTES, PAGE_SIZE, 0), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, RAM_BYTES - PAGE_SIZE, 2 * PAGE_SIZE, 0), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, 0, 2 * PAGE_SIZE, PAGE_SIZE), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, 1, PAGE_SIZE, 0), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, 0, PAGE_SIZE, 1), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, 0, 0, 0), -EFAULT);
	cr_expect_eq(ram_remap(&mapped, 0 - PAGE_SIZE, 2 * PAGE_SIZE, RAM_HOME), -EFAULT);
	ram_unmap(&mapped);
	close(frames);
	close(file);
}
