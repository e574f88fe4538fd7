/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM: mapping it at an address that huge pages can use, and checked access to it. */
#include "hv/ram.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hv/layout.h"
#include "lib/bits.h"

/* Address space for `bytes` at a 2 MiB boundary: mmap() promises only 4 KiB, and a huge page is
 * mapped as one only where the file offset and the address agree modulo 2 MiB. */
static int ram_reserve(struct ram *ram, u64 bytes)
{
	void *reserved;

	if (!bytes || bytes % REGION_SIZE || bytes > UINT64_MAX / 2)
		return -EINVAL;
	*ram = (struct ram){.bytes = bytes, .reserved_bytes = bytes + 2 * REGION_SIZE};
	reserved = mmap(NULL, ram->reserved_bytes, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return -errno;
	ram->reserved = reserved;
	ram->base = (u8 *)ALIGN_UP((u64)(uintptr_t)reserved, REGION_SIZE);
	ram->stage = ram->base + bytes;
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
	free(ram->foreign);
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

static bool in_pages(u64 offset, u64 length, u64 bytes)
{
	u64 end;

	return length && !((offset | length) % PAGE_SIZE) &&
	       !__builtin_add_overflow(offset, length, &end) && end <= bytes;
}

int ram_share(struct ram *ram, int ram_fd, int frames_fd, u64 frame_bytes)
{
	ram->foreign = calloc(ram->bytes / PAGE_SIZE / 64 + 1, sizeof(*ram->foreign));
	if (!ram->foreign)
		return -ENOMEM;
	/* As what is mapped over it will be, or the kernel could not join the two again; two calls less for each
	 * frame. The sandbox forbids forks and keeps memory out of core files. */
	madvise(ram->base, ram->bytes, MADV_DOFORK);
	madvise(ram->base, ram->bytes, MADV_DODUMP);
	ram->ram_fd = ram_fd;
	ram->frames_fd = frames_fd;
	ram->frame_bytes = frame_bytes;
	return 0;
}

static bool is_foreign(const struct ram *ram, u64 page)
{
	return ram->foreign && bits_have(ram->foreign, page);
}

static void note_foreign(struct ram *ram, u64 first, u64 count, bool foreign)
{
	for (u64 i = first; i < first + count; i++)
		bits_put(ram->foreign, i, foreign);
}

static int map_over(u8 *at, u64 length, int flags, int fd, u64 offset)
{
	return mmap(at, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_NORESERVE, fd,
		    (off_t)offset) == MAP_FAILED
		       ? -errno
		       : 0;
}

static int map_frames(const struct ram *ram, u8 *at, u64 length, u64 frame_offset)
{
	if (!in_pages(frame_offset, length, ram->frame_bytes))
		return -EFAULT;
	return map_over(at, length, MAP_PRIVATE, ram->frames_fd, frame_offset);
}

static int stage(struct ram *ram, u64 length, u64 frame_offset)
{
	int err =
		length == REGION_SIZE ? map_frames(ram, ram->stage, length, frame_offset) : -EFAULT;

	ram->staged = !err;
	return err;
}

/* Mapped already where it was, its frames need not be faulted in one by one. The mapping that was moved stays, empty: nobody
 * else shall find the addresses free. */
static int move_stage(struct ram *ram, u8 *at, u64 offset, u64 length)
{
	if (!ram->staged || length != REGION_SIZE || offset % REGION_SIZE)
		return -EFAULT;
	ram->staged = false;
	madvise(ram->stage, REGION_SIZE, MADV_POPULATE_READ);
	return mremap(ram->stage, REGION_SIZE, REGION_SIZE,
		      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, at) == MAP_FAILED
		       ? -errno
		       : 0;
}

int ram_remap(struct ram *ram, u64 offset, u64 length, u64 frame_offset)
{
	u8 *at = ram->base + offset;
	int err;

	if (!ram->foreign)
		return -EFAULT;
	if (offset == RAM_STAGE)
		return stage(ram, length, frame_offset);
	if (!in_pages(offset, length, ram->bytes))
		return -EFAULT;
	if (frame_offset == RAM_HOME)
		err = map_over(at, length, MAP_SHARED, ram->ram_fd, offset);
	else if (frame_offset == RAM_MOVE)
		err = move_stage(ram, at, offset, length);
	else
		err = map_frames(ram, at, length, frame_offset);
	if (!err)
		note_foreign(ram, offset / PAGE_SIZE, length / PAGE_SIZE, frame_offset != RAM_HOME);
	return err;
}

int ram_zap(const struct ram *ram, u64 offset, u64 length)
{
	u64 page = offset / PAGE_SIZE, end = page + length / PAGE_SIZE;

	if (!in_pages(offset, length, ram->bytes))
		return -EFAULT;
	while (page < end) {
		u64 from = page;

		while (page < end && !is_foreign(ram, page))
			page++;
		if (page > from &&
		    madvise(ram->base + from * PAGE_SIZE, (page - from) * PAGE_SIZE, MADV_DONTNEED))
			return -errno;
		while (page < end && is_foreign(ram, page))
			page++;
	}
	return 0;
}
