/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM as this process sees it: one mapping, contiguous and aligned to 2 MiB, which the guest
 * sees as one or two regions around the hole for devices. Everybody who holds a guest's address goes
 * through gpa_to_hva().
 */
#ifndef HV_RAM_H
#define HV_RAM_H

#include "lib/addr.h"

#define RAM_MAX_REGIONS 2

struct ram_region {
	gpa_t gpa;
	u64 offset; /* into the mapping and the RAM file alike */
	u64 length;
};

struct ram {
	u8 *base;
	u64 bytes;
	u32 count;
	struct ram_region regions[RAM_MAX_REGIONS];
	u8 *stage; /* a region's size of address space beside it, for ram_remap() */
	bool staged;
	u8 *reserved; /* what munmap needs: all of these, and the slack that aligned them */
	u64 reserved_bytes;
	int ram_fd, frames_fd; /* with foreign */
	u64 frame_bytes;
	u64 *foreign; /* pages in whose place a frame is mapped, a bit each; NULL: nothing is shared */
};

/* Maps `bytes` (a multiple of the region size) of a file, shared, touching none of it. The
 * descriptor stays the caller's and may be closed. Returns 0 or -errno: -EINVAL when the size is
 * odd or the file is shorter. */
int ram_map_file(struct ram *ram, int fd, u64 bytes);

/* The same on private anonymous memory, with 2 MiB pages or without. */
int ram_map_plain(struct ram *ram, u64 bytes, bool huge);

void ram_unmap(struct ram *ram);

/*
 * The address of guest memory [gpa, gpa + length), for any numbers a guest may come up with. Returns
 * 0, or -EFAULT if not every byte is RAM of one region, if the sum overflows, or if length is 0.
 * The memory may be absent: touching it then waits for the manager.
 */
int gpa_to_hva(const struct ram *ram, gpa_t gpa, u64 length, hva_t *hva);

/* The two files of a guest whose pages are shared; both stay open. From now on ram_remap() works. Returns 0 or
 * -ENOMEM. */
int ram_share(struct ram *ram, int ram_fd, int frames_fd, u64 frame_bytes);

/*
 * Maps frames in the place of a range, privately, or with frame_offset == RAM_HOME the RAM file again. Never waits for
 * the manager. With offset == RAM_STAGE the frames are mapped at the stage, and with frame_offset == RAM_MOVE that is moved
 * into the place of a region, with what the manager has put into it. Returns 0, -EFAULT when outside RAM or frames or not
 * in whole pages, nor in whole regions where one is staged, or the system call's -errno: then nobody knows what is mapped
 * there.
 */
#define RAM_HOME  UINT64_MAX
#define RAM_MOVE  (UINT64_MAX - 1)
#define RAM_STAGE UINT64_MAX
int ram_remap(struct ram *ram, u64 offset, u64 length, u64 frame_offset);

/* Unmaps a range of the file from this process; its content stays in the file. Where frames are mapped it does
 * nothing: what was written there is nowhere else. Never waits for the manager. Returns 0, -EFAULT when outside RAM or not in whole pages, or madvise()'s -errno. */
int ram_zap(const struct ram *ram, u64 offset, u64 length);

#endif
