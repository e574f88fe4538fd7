// SPDX-License-Identifier: Apache-2.0
/*
 * The nano guest's outside world: port writes, each an exit to the VMM. Guest-virtual address 0 is
 * address 0, so pointers are guest addresses.
 */
#include "guest-driver/guest.h"

void guest_entry(u32 index);

static void out8(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void out32(u16 port, u32 value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void kvm_console(struct guest_cpu *cpu, const char *text, size_t length)
{
	(void)cpu;
	for (size_t i = 0; i < length; i++)
		out8(GUEST_PORT_CONSOLE, (u8)text[i]);
}

static void kvm_sleep_ms(struct guest_cpu *cpu, u32 milliseconds)
{
	(void)cpu;
	out32(GUEST_PORT_SLEEP, milliseconds);
}

static void kvm_doorbell(struct guest_cpu *cpu)
{
	(void)cpu;
	out32(GUEST_PORT_DOORBELL, 0);
}

static u32 kvm_read_register(struct guest_cpu *cpu, u32 offset)
{
	(void)cpu;
	return *(volatile u32 *)(GUEST_BALLOON + offset);
}

static void kvm_write_register(struct guest_cpu *cpu, u32 offset, u32 value)
{
	(void)cpu;
	*(volatile u32 *)(GUEST_BALLOON + offset) = value;
}

static const struct guest_platform kvm_platform = {
	.console = kvm_console,
	.sleep_ms = kvm_sleep_ms,
	.doorbell = kvm_doorbell,
	.read_register = kvm_read_register,
	.write_register = kvm_write_register,
};

/* From entry.S. A VMM that comes back after the exit is asked to sleep, for as long as it likes. */
void guest_entry(u32 index)
{
	struct guest_cpu cpu = {.platform = &kvm_platform, .ram = 0, .index = index};

	out32(GUEST_PORT_EXIT, guest_run(&cpu, (const u8 *)GUEST_DATA));
	for (;;)
		kvm_sleep_ms(&cpu, 1000);
}
