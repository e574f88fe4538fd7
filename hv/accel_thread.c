/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running the guest as threads of this process: the same workloads on the same RAM, at full speed
 * and with no protection from each other. For machines without /dev/kvm, sanitizers and debuggers.
 */
#include <errno.h>
#include <stdlib.h>

#include "guest-driver/host.h"
#include "hv/accel.h"
#include "hv/guest.h"

struct accel_thread {
	struct accel accel;
	struct guest_host host;
	struct hv_guest *guest;
};

static struct accel_thread *of_host(struct guest_host *host)
{
	return container_of(host, struct accel_thread, host);
}

static struct accel_thread *of_accel(struct accel *accel)
{
	return container_of(accel, struct accel_thread, accel);
}

static void host_console(struct guest_host *host, u32 vcpu, const char *text, size_t length)
{
	(void)vcpu;
	hv_guest_console(of_host(host)->guest, text, (u32)length);
}

static void host_sleep(struct guest_host *host, u32 vcpu, u32 milliseconds)
{
	hv_guest_sleep(of_host(host)->guest, vcpu, milliseconds);
}

static void host_doorbell(struct guest_host *host, u32 vcpu)
{
	(void)vcpu;
	hv_event_raise(of_host(host)->guest->doorbell);
}

static u32 host_read_register(struct guest_host *host, u32 offset)
{
	struct bus_device *bus = hv_balloon_bus(of_host(host)->guest->balloon);
	struct bus_access access = {.offset = offset, .size = sizeof(u32)};

	bus->ops->read(bus, &access);
	return (u32)access.value;
}

static void host_write_register(struct guest_host *host, u32 offset, u32 value)
{
	struct bus_device *bus = hv_balloon_bus(of_host(host)->guest->balloon);
	const struct bus_access access = {.offset = offset, .value = value, .size = sizeof(u32)};

	bus->ops->write(bus, &access);
}

static const struct guest_host_ops host_ops = {
	.console = host_console,
	.sleep_ms = host_sleep,
	.doorbell = host_doorbell,
	.read_register = host_read_register,
	.write_register = host_write_register,
};

static int accel_thread_create(struct hv_guest *guest, struct accel **accel, const char **why)
{
	struct accel_thread *thread = calloc(1, sizeof(*thread));

	*why = "out of memory";
	if (!thread)
		return -ENOMEM;
	thread->accel.ops = &accel_thread_ops;
	thread->guest = guest;
	thread->host.ops = &host_ops;
	thread->host.ram = guest->ram.base;
	thread->host.data = guest->data;
	*accel = &thread->accel;
	return 0;
}

static void accel_thread_run(struct accel *accel, u32 vcpu)
{
	struct accel_thread *thread = of_accel(accel);

	hv_guest_vcpu_exit(thread->guest, vcpu, guest_thread_main(&thread->host, vcpu));
}

static void accel_thread_destroy(struct accel *accel)
{
	free(of_accel(accel));
}

const struct accel_ops accel_thread_ops = {
	.name = "thread",
	.kind = ATTACH_ACCEL_THREAD,
	.create = accel_thread_create,
	.run = accel_thread_run,
	.destroy = accel_thread_destroy,
};
