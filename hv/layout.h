/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical address space. RAM begins at 0 and skips the last GiB below 4 GiB, where PCs
 * have their devices; the data file follows behind RAM.
 *
 *	0 ............ 3 GiB          RAM, first part
 *	HV_MMIO_GPA                   a page of device registers
 *	HV_BALLOON_GPA                a page of the balloon's
 *	HV_IDENTITY_GPA, HV_TSS_GPA   four pages that VMX without "unrestricted guest" wants
 *	4 GiB ........                RAM, the rest
 *	next GiB boundary             data file, read-only
 *
 * Guest-virtual addresses (guest-driver/abi.h) know nothing of it: the page tables hide the hole.
 */
#ifndef HV_LAYOUT_H
#define HV_LAYOUT_H

#include "lib/types.h"

#define HV_HOLE_START	(3 * GiB)
#define HV_HOLE_END	(4 * GiB)
#define HV_MMIO_GPA	0xd0000000UL
#define HV_BALLOON_GPA	0xd0001000UL
#define HV_IDENTITY_GPA 0xfffbc000UL
#define HV_TSS_GPA	0xfffbd000UL

/* Guest-virtual and -physical: the task state segment, with its map of permitted ports, between the
 * boot page and the statistics. */
#define HV_TASK_STATE 0x8000UL
#define HV_TASK_BYTES 104
#define HV_PORT_BYTES (65536 / 8)
#define HV_TASK_LIMIT (HV_TASK_BYTES + HV_PORT_BYTES) /* the last byte, which must be all ones */

/* Where in guest-physical memory byte `offset` of contiguous RAM lies. */
static inline u64 layout_ram_gpa(u64 offset)
{
	return offset < HV_HOLE_START ? offset : offset + (HV_HOLE_END - HV_HOLE_START);
}

/* Behind RAM of that size, on a boundary that any page size divides. */
static inline u64 layout_data_gpa(u64 ram_bytes)
{
	return ALIGN_UP(MAX(layout_ram_gpa(ram_bytes), HV_HOLE_END), GiB);
}

#endif
