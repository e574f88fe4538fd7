/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM: mapping it at an address that huge pages can use, and checked access to it. */
#include "hv/ram.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hv/layout.h"

/* Address space for `bytes` at a 2 MiB boundary: mmap() promises only 4 KiB, and a huge page is
 * mapped as one only where the file offset and the address agree modulo 2 MiB. */
static int ram_reserve(struct ram *ram, u64 bytes)
{
	void *reserved;

	if (!bytes || bytes % REGION_SIZE || bytes > UINT64_MAX / 2)
		return -EINVAL;
	*ram = (struct ram){.bytes = bytes, .reserved_bytes = bytes + REGION_SIZE};
	reserved = mmap(NULL, ram->reserved_bytes, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return -errno;
	ram->reserved = reserved;
	ram->base = (u8 *)ALIGN_UP((u64)(uintptr_t)reserved, REGION_SIZE);
	return 0;
}

static void ram_lay_out(struct ram *ram)
{
	u64 low = MIN(ram->bytes, HV_HOLE_START);

	ram->regions[ram->count++] = (struct ram_region){gpa(0), 0, low};
	if (ram->bytes > low)
		ram->regions[ram->count++] =
			(struct ram_region){gpa(HV_HOLE_END), low, ram->bytes - low};
}

static int ram_map(struct ram *ram, int fd, u64 bytes, int flags)
{
	int err = ram_reserve(ram, bytes);

	if (err)
		return err;
	if (mmap(ram->base, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_NORESERVE, fd,
		 0) == MAP_FAILED) {
		err = -errno;
		ram_unmap(ram);
		return err;
	}
	/* A guest's memory is nobody's business: not a child's, not a core file's. */
	madvise(ram->base, bytes, MADV_DONTFORK);
	madvise(ram->base, bytes, MADV_DONTDUMP);
	ram_lay_out(ram);
	return 0;
}

int ram_map_file(struct ram *ram, int fd, u64 bytes)
{
	struct stat file;

	*ram = (struct ram){};
	if (fstat(fd, &file))
		return -errno;
	if (file.st_size < 0 || (u64)file.st_size < bytes)
		return -EINVAL;
	return ram_map(ram, fd, bytes, MAP_SHARED);
}

int ram_map_plain(struct ram *ram, u64 bytes, bool huge)
{
	int err = ram_map(ram, -1, bytes, MAP_PRIVATE | MAP_ANONYMOUS);

	if (!err)
		madvise(ram->base, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return err;
}

void ram_unmap(struct ram *ram)
{
	if (ram->reserved)
		munmap(ram->reserved, ram->reserved_bytes);
	*ram = (struct ram){};
}

int gpa_to_hva(const struct ram *ram, gpa_t gpa, u64 length, hva_t *hva)
{
	u64 end;

	if (!length || __builtin_add_overflow(gpa.value, length, &end))
		return -EFAULT;
	for (u32 i = 0; i < ram->count; i++) {
		const struct ram_region *region = &ram->regions[i];

		if (gpa.value < region->gpa.value || end > region->gpa.value + region->length)
			continue;
		hva->ptr = ram->base + region->offset + (gpa.value - region->gpa.value);
		return 0;
	}
	return -EFAULT;
}

int ram_zap(const struct ram *ram, u64 offset, u64 length)
{
	u64 end;

	if (!length || (offset | length) % PAGE_SIZE)
		return -EFAULT;
	if (__builtin_add_overflow(offset, length, &end) || end > ram->bytes)
		return -EFAULT;
	return madvise(ram->base + offset, length, MADV_DONTNEED) ? -errno : 0;
}
