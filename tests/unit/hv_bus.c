/* SPDX-License-Identifier: Apache-2.0 */
/* Buses, and the console's buffer: what a guest can reach with any address and any text. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "hv/bus.h"
#include "hv/console.h"

struct probe {
	struct bus_device device;
	u64 offset, value;
};

static void probe_read(struct bus_device *device, struct bus_access *access)
{
	access->value = container_of(device, struct probe, device)->value;
}

static void probe_write(struct bus_device *device, const struct bus_access *access)
{
	struct probe *probe = container_of(device, struct probe, device);

	probe->offset = access->offset;
	probe->value = access->value;
}

static const struct bus_ops probe_ops = {"probe", probe_read, probe_write};
static const struct bus_ops mute_ops = {.name = "mute"};

Test(hv_bus, device_sees_offset_and_value)
{
	struct probe probe = {.device = {&probe_ops}};
	struct bus_access access = {.size = 4, .value = 42};
	struct bus bus = {};

	cr_assert_eq(bus_add(&bus, 0x100, 8, &probe.device), 0);
	cr_assert_eq(bus_write(&bus, 0x104, &access), 0);
	cr_assert_eq(probe.offset, 4);
	cr_assert_eq(probe.value, 42);
	access.value = 0;
	cr_assert_eq(bus_read(&bus, 0x100, &access), 0);
	cr_assert_eq(access.value, 42);
}

Test(hv_bus, addresses_nobody_owns_read_as_ones)
{
	struct bus_access access = {.size = 8};
	struct bus bus = {};

	cr_assert_eq(bus_read(&bus, 0x100, &access), -ENODEV);
	cr_assert_eq(access.value, ~0ULL);
	cr_assert_eq(bus_write(&bus, UINT64_MAX, &access), -ENODEV);
}

Test(hv_bus, access_across_an_edge_belongs_to_nobody)
{
	struct probe probe = {.device = {&probe_ops}};
	struct bus_access access = {.size = 4};
	struct bus bus = {};

	cr_assert_eq(bus_add(&bus, 0x100, 8, &probe.device), 0);
	cr_assert_eq(bus_write(&bus, 0xfe, &access), -ENODEV);
	cr_assert_eq(bus_write(&bus, 0x106, &access), -ENODEV);
	cr_assert_eq(bus_write(&bus, 0x108, &access), -ENODEV);
}

Test(hv_bus, device_without_operations_is_mute)
{
	struct bus_device mute = {&mute_ops};
	struct bus_access access = {.size = 1};
	struct bus bus = {};

	cr_assert_eq(bus_add(&bus, 0, 1, &mute), 0);
	cr_assert_eq(bus_write(&bus, 0, &access), 0);
	cr_assert_eq(bus_read(&bus, 0, &access), 0);
	cr_assert_eq(access.value, ~0ULL);
}

Test(hv_bus, ranges_are_checked)
{
	struct bus_device mute = {&mute_ops};
	struct bus bus = {};

	cr_assert_eq(bus_add(&bus, 0x100, 8, &mute), 0);
	cr_assert_eq(bus_add(&bus, 0x107, 1, &mute), -EEXIST);
	cr_assert_eq(bus_add(&bus, 0xf9, 8, &mute), -EEXIST);
	cr_assert_eq(bus_add(&bus, 0x200, 0, &mute), -EINVAL);
	cr_assert_eq(bus_add(&bus, UINT64_MAX, 2, &mute), -EINVAL);
	for (u64 i = 1; i < BUS_MAX_RANGES; i++)
		cr_assert_eq(bus_add(&bus, 0x1000 * i, 8, &mute), 0);
	cr_assert_eq(bus_add(&bus, 0xf0000, 8, &mute), -ENOSPC);
}

Test(hv_console, text_comes_out_in_order)
{
	struct console console;
	char text[16];

	console_init(&console);
	cr_assert_not(console_put(&console, "ab", 2));
	cr_assert(console_put(&console, "c\n", 2));
	cr_assert_eq(console_take(&console, text, 3), 3);
	cr_assert_eq(console_take(&console, text + 3, 13), 1);
	cr_assert_eq(memcmp(text, "abc\n", 4), 0);
	cr_assert_eq(console_take(&console, text, 16), 0);
}

Test(hv_console, control_characters_are_replaced)
{
	struct console console;
	char text[8];

	console_init(&console);
	console_put(&console, "\033\x9b\t\0\r\x7f", 6);
	cr_assert_eq(console_take(&console, text, 8), 6);
	cr_assert_eq(memcmp(text, "??\t???", 6), 0);
}

Test(hv_console, flood_is_bounded_and_the_loss_is_told)
{
	char out[2 * CONSOLE_BYTES + 1] = {};
	struct console console;
	u32 length;

	console_init(&console);
	for (u32 i = 0; i < 100 * CONSOLE_BYTES; i++)
		console_put(&console, "x", 1);
	/* Small bites, so that losses are told more than once while the buffer is full. */
	for (length = 0; length < 100; length++) {
		console_take(&console, out, 1);
		console_put(&console, "xxxx", 4);
	}
	length = console_take(&console, out, sizeof(out) - 1);
	cr_assert_leq(length, CONSOLE_BYTES);
	cr_assert(strstr(out, "bytes of console text lost]"));
}
