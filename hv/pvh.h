/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting a kernel that somebody else wrote: an ELF file whose note names an entry in 32-bit protected
 * mode (PVH, "x86/HVM direct boot ABI" of the Xen project), as every Linux vmlinux with CONFIG_PVH has.
 * There is no boot loader and no firmware: the loader puts the segments where the file wants them and
 * leaves a page that says how much memory there is and what the command line is.
 *
 * The file comes from the user, but is trusted no more than a guest is: what can be wrong with it is
 * found by pvh_open(), from a copy of its headers, before any guest memory is written.
 */
#ifndef HV_PVH_H
#define HV_PVH_H

#include "hv/ram.h"

#define PVH_MAX_SEGMENTS 16
/* Of the command line, with its NUL. */
#define PVH_CMDLINE_MAX 2048
/* Guest-physical: what the entry point is handed in ebx. */
#define PVH_START_INFO 0x6000UL

struct pvh_segment {
	u64 gpa;
	u64 offset, file_bytes; /* in the file */
	u64 memory_bytes;	/* at least file_bytes; the rest is zero */
};

struct pvh_image {
	int fd; /* its own; -1: none is open */
	u64 entry;
	u32 count;
	struct pvh_segment segments[PVH_MAX_SEGMENTS];
};

/*
 * Reads and checks the headers of the kernel image in `fd`, of `bytes` bytes, for a guest of
 * `ram_bytes`. Returns 0, and the image has a descriptor of its own; or -errno (-ENOEXEC: no such
 * image, -E2BIG: no room) and why, with nothing to close. Reads the file alone.
 */
int pvh_open(int fd, u64 bytes, u64 ram_bytes, struct pvh_image *image, const char **why);

/*
 * Copies the segments into guest memory, which is zero still. May wait for the manager. Returns 0 or
 * -errno: the file got shorter, or cannot be read.
 */
int pvh_load(const struct pvh_image *image, const struct ram *ram);

/* Writes the start information, memory map and command line (shorter than PVH_CMDLINE_MAX; what is
 * longer is cut). May wait for the manager. */
void pvh_write_start_info(const struct ram *ram, const char *cmdline);

/* Closes the file, once or more. */
void pvh_close(struct pvh_image *image);

#endif
