/* SPDX-License-Identifier: Apache-2.0 */
/* Buses: a handful of ranges, searched in order. */
#include "hv/bus.h"

#include <errno.h>

int bus_add(struct bus *bus, u64 base, u64 length, struct bus_device *device)
{
	u64 end;

	if (!length || __builtin_add_overflow(base, length, &end))
		return -EINVAL;
	if (bus->count == BUS_MAX_RANGES)
		return -ENOSPC;
	for (u32 i = 0; i < bus->count; i++) {
		if (base < bus->ranges[i].base + bus->ranges[i].length && bus->ranges[i].base < end)
			return -EEXIST;
	}
	bus->ranges[bus->count].base = base;
	bus->ranges[bus->count].length = length;
	bus->ranges[bus->count].device = device;
	bus->count++;
	return 0;
}

static struct bus_device *bus_find(const struct bus *bus, u64 address, struct bus_access *access)
{
	for (u32 i = 0; i < bus->count; i++) {
		u64 offset = address - bus->ranges[i].base; /* wraps to a large number below base */

		if (offset >= bus->ranges[i].length ||
		    access->size > bus->ranges[i].length - offset)
			continue;
		access->offset = offset;
		return bus->ranges[i].device;
	}
	return NULL;
}

int bus_read(const struct bus *bus, u64 address, struct bus_access *access)
{
	struct bus_device *device = bus_find(bus, address, access);

	access->value = ~0ULL;
	if (!device)
		return -ENODEV;
	if (device->ops->read)
		device->ops->read(device, access);
	return 0;
}

int bus_write(const struct bus *bus, u64 address, struct bus_access *access)
{
	struct bus_device *device = bus_find(bus, address, access);

	if (!device)
		return -ENODEV;
	if (device->ops->write)
		device->ops->write(device, access);
	return 0;
}
