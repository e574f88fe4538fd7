/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nano guest, a static ELF64 file embedded in this program: loaded at its segments' addresses
 * (from GUEST_IMAGE on), entered at e_entry on every vCPU with rdi = the vCPU's index and rsp at the
 * top of a stack of its own. It wants CPL 3, IOPL 3, SSE, rdtsc, and memory as abi.h lays it out.
 */
#ifndef GUEST_DRIVER_IMAGE_H
#define GUEST_DRIVER_IMAGE_H

#include "lib/types.h"

extern const u8 guest_image_start[];
extern const u8 guest_image_end[];

#endif
