/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bus: which device answers at which address. The guest has two, one of ports and one of
 * memory-mapped registers; both are filled before the first vCPU starts and never change, so
 * look-ups take no lock. An address nobody owns behaves as on a PC: reads give all ones, writes
 * vanish.
 */
#ifndef HV_BUS_H
#define HV_BUS_H

#include "lib/types.h"

#define BUS_MAX_RANGES 16

struct bus_device;

struct bus_access {
	u64 offset; /* from the start of the device's range */
	u64 value;  /* written by the guest, or what it will read; `size` bytes of it count */
	u32 size;   /* 1, 2, 4 or 8; offset + size lies within the range */
	u32 vcpu;   /* who asks */
};

/* Called on the vCPU's thread, by several vCPUs at once, with no lock held. Must not touch guest
 * memory beyond its own needs nor wait for anything but that. */
struct bus_ops {
	const char *name;
	void (*read)(struct bus_device *device, struct bus_access *access); /* NULL: all ones */
	void (*write)(struct bus_device *device,
		      const struct bus_access *access); /* NULL: ignored */
};

struct bus_device {
	const struct bus_ops *ops;
};

struct bus {
	u32 count;
	struct {
		u64 base, length;
		struct bus_device *device;
	} ranges[BUS_MAX_RANGES];
};

/* Puts a device, which stays the caller's, at [base, base + length). Returns 0, -EINVAL for an empty
 * range or one that wraps, -EEXIST where another device is, -ENOSPC when the bus is full. */
int bus_add(struct bus *bus, u64 base, u64 length, struct bus_device *device);

/* Reads or writes. Returns 0, or -ENODEV when no device owns all of the bytes. */
int bus_read(const struct bus *bus, u64 address, struct bus_access *access);
int bus_write(const struct bus *bus, u64 address, struct bus_access *access);

#endif
