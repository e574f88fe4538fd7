/* SPDX-License-Identifier: Apache-2.0 */
/* The nano guest's devices. Whatever a guest writes to them is a number to be clamped, no more. */
#include "hv/ports.h"

#include "hv/layout.h"

static void console_write(struct bus_device *device, const struct bus_access *access)
{
	struct guest_ports *ports = container_of(device, struct guest_ports, console);
	char c = (char)access->value;

	hv_guest_console(ports->guest, &c, 1);
}

static void sleep_write(struct bus_device *device, const struct bus_access *access)
{
	struct guest_ports *ports = container_of(device, struct guest_ports, sleep);

	hv_guest_sleep(ports->guest, access->vcpu, (u32)MIN(access->value, (u64)UINT32_MAX));
}

static void exit_write(struct bus_device *device, const struct bus_access *access)
{
	struct guest_ports *ports = container_of(device, struct guest_ports, exit);

	atomic_fetch_or(&ports->exited, 1U << access->vcpu);
	hv_guest_vcpu_exit(ports->guest, access->vcpu, (u32)access->value);
}

/* Reached only by a write of another width than the ioeventfd's. */
static void doorbell_write(struct bus_device *device, const struct bus_access *access)
{
	(void)access;
	hv_event_raise(container_of(device, struct guest_ports, doorbell)->guest->doorbell);
}

static void scratch_read(struct bus_device *device, struct bus_access *access)
{
	struct guest_ports *ports = container_of(device, struct guest_ports, scratch);

	access->value = atomic_load(&ports->scratch_value) >> 8 * access->offset;
}

static void scratch_write(struct bus_device *device, const struct bus_access *access)
{
	struct guest_ports *ports = container_of(device, struct guest_ports, scratch);

	atomic_store(&ports->scratch_value, access->value << 8 * access->offset);
}

static const struct bus_ops console_ops = {.name = "console", .write = console_write};
static const struct bus_ops sleep_ops = {.name = "sleep", .write = sleep_write};
static const struct bus_ops exit_ops = {.name = "exit", .write = exit_write};
static const struct bus_ops doorbell_ops = {.name = "doorbell", .write = doorbell_write};
static const struct bus_ops scratch_ops = {
	.name = "scratch",
	.read = scratch_read,
	.write = scratch_write,
};

int guest_ports_add(struct guest_ports *ports, struct hv_guest *guest, struct bus *port_bus,
		    struct bus *mmio_bus)
{
	const struct {
		struct bus *bus;
		u64 base, length;
		struct bus_device *device;
		const struct bus_ops *ops;
	} table[] = {
		{port_bus, GUEST_PORT_CONSOLE, 1, &ports->console, &console_ops},
		{port_bus, GUEST_PORT_SLEEP, 4, &ports->sleep, &sleep_ops},
		{port_bus, GUEST_PORT_EXIT, 4, &ports->exit, &exit_ops},
		{port_bus, GUEST_PORT_DOORBELL, 4, &ports->doorbell, &doorbell_ops},
		{mmio_bus, HV_MMIO_GPA + GUEST_MMIO_DOORBELL, 4, &ports->doorbell, &doorbell_ops},
		{mmio_bus, HV_MMIO_GPA + GUEST_MMIO_SCRATCH, 8, &ports->scratch, &scratch_ops},
	};

	ports->guest = guest;
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		int err = bus_add(table[i].bus, table[i].base, table[i].length, table[i].device);

		if (err)
			return err;
		table[i].device->ops = table[i].ops;
	}
	return 0;
}
