/* SPDX-License-Identifier: Apache-2.0 */
/* RAM files: empty, of the right size, huge where asked for, invisible. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/ramfile.h"

#define BYTES (8 * MiB)

static u64 blocks_of(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (u64)st.st_blocks * 512;
}

/* A mapping of the file at an address where huge pages are possible. */
static char *map_aligned(int fd)
{
	char *room = mmap(NULL, BYTES + REGION_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *base = (char *)ALIGN_UP((u64)(uintptr_t)room, REGION_SIZE);

	cr_assert_eq(mmap(base, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
		     base);
	return base;
}

Test(data_ramfile, it_has_its_size_and_no_memory)
{
	for (int huge = 0; huge <= 1; huge++) {
		struct stat st;
		bool got_huge;
		int fd = ramfile_create(BYTES, huge, &got_huge);

		cr_assert_geq(fd, 0);
		cr_assert_eq(fstat(fd, &st), 0);
		cr_expect_eq(st.st_size, BYTES);
		cr_expect_eq(st.st_nlink, 0, "no name");
		cr_expect_eq(blocks_of(fd), 0);
		cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		cr_expect(huge || !got_huge);
		close(fd);
	}
}

Test(data_ramfile, a_whole_region_is_one_huge_page_where_asked_for)
{
	bool got_huge;
	int fd = ramfile_create(BYTES, true, &got_huge);
	char *base;

	cr_assert_geq(fd, 0);
	if (!got_huge)
		cr_skip_test("no huge pages in memory files here");
	base = map_aligned(fd);
	cr_assert_eq(madvise(base, REGION_SIZE, MADV_HUGEPAGE), 0);
	cr_assert_eq(madvise(base + REGION_SIZE, REGION_SIZE, MADV_NOHUGEPAGE), 0);
	base[0] = 1;
	cr_expect_eq(blocks_of(fd), REGION_SIZE);
	base[REGION_SIZE] = 1;
	cr_expect_eq(blocks_of(fd), REGION_SIZE + PAGE_SIZE);
	cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, REGION_SIZE), 0);
	cr_expect_eq(blocks_of(fd), PAGE_SIZE);
	cr_expect_eq(base[0], 0);
}

Test(data_ramfile, all_of_it_can_be_filled)
{
	bool got_huge;
	int fd = ramfile_create(BYTES, true, &got_huge);

	cr_assert_geq(fd, 0);
	memset(map_aligned(fd), 1, BYTES);
	cr_expect_eq(blocks_of(fd), BYTES);
}

Test(data_ramfile, no_mount_is_left_in_the_namespace)
{
	char line[1024];
	u32 before = 0, after = 0;
	bool got_huge;
	FILE *mounts;

	for (mounts = fopen("/proc/self/mounts", "r"); fgets(line, sizeof(line), mounts);)
		before++;
	fclose(mounts);
	cr_assert_geq(ramfile_create(BYTES, true, &got_huge), 0);
	for (mounts = fopen("/proc/self/mounts", "r"); fgets(line, sizeof(line), mounts);)
		after++;
	fclose(mounts);
	cr_expect_eq(before, after);
}

Test(data_ramfile, a_small_paged_one_is_sealed_against_truncation)
{
	bool got_huge;
	int fd = ramfile_create(BYTES, false, &got_huge);

	cr_assert_geq(fd, 0);
	cr_expect_eq(ftruncate(fd, 0), -1);
	cr_expect_eq(ftruncate(fd, 2 * BYTES), -1);
}
