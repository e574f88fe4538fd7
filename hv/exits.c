/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do when a guest leaves KVM: serve its ports and registers, and tell its deaths apart. A
 * guest may leave for any reason at any time, so no exit is a bug of ours; the worst of them ends
 * this one guest.
 */
#include <stdio.h>
#include <string.h>

#include "hv/vcpu.h"

/* Ports: `count` items of `size` bytes lie in the run area (more than one for string instructions). */
static void exit_io(struct vcpu *vcpu)
{
	struct kvm_guest *owner = vcpu->owner;
	struct kvm_run *run = vcpu->run;
	u8 *data = (u8 *)run + run->io.data_offset;

	for (u32 i = 0; i < run->io.count && !hv_guest_leaving(owner->guest); i++) {
		struct bus_access access = {.size = run->io.size, .vcpu = vcpu->index};
		int err;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&access.value, data, access.size);
			err = bus_write(&owner->port_bus, run->io.port, &access);
		} else {
			err = bus_read(&owner->port_bus, run->io.port, &access);
			memcpy(data, &access.value, access.size);
		}
		if (err)
			hv_guest_stray(owner->guest, "port", run->io.port);
		data += run->io.size;
	}
}

static void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_guest *owner = vcpu->owner;
	struct kvm_run *run = vcpu->run;
	u32 size = MIN(run->mmio.len, (u32)sizeof(run->mmio.data));
	struct bus_access access = {.size = size, .vcpu = vcpu->index};
	int err;

	if (run->mmio.is_write) {
		memcpy(&access.value, run->mmio.data, size);
		err = bus_write(&owner->mmio_bus, run->mmio.phys_addr, &access);
	} else {
		err = bus_read(&owner->mmio_bus, run->mmio.phys_addr, &access);
		memcpy(run->mmio.data, &access.value, size);
	}
	if (err)
		hv_guest_stray(owner->guest, "register", run->mmio.phys_addr);
}

/* The nano guest has no exception handlers, so its first exception is its last. A kernel has, and may
 * mean it: without firmware a triple fault is how it resets its machine. */
static void exit_shutdown(struct vcpu *vcpu)
{
	char where[VCPU_TEXT_MAX];

	vcpu_describe(vcpu, where);
	hv_guest_fail(vcpu->owner->guest, ATTACH_EXIT_CRASH, "%s: triple fault: %s", where,
		      vcpu->owner->guest->payload->on_triple_fault);
}

static void exit_halt(struct vcpu *vcpu)
{
	char where[VCPU_TEXT_MAX];

	vcpu_describe(vcpu, where);
	hv_guest_fail(vcpu->owner->guest, ATTACH_EXIT_CRASH,
		      "%s: halted, with no interrupt ever to wake it", where);
}

static void exit_fail_entry(struct vcpu *vcpu)
{
	hv_guest_fail(vcpu->owner->guest, ATTACH_EXIT_VMM,
		      "vCPU %u: the processor refused to enter the guest, hardware reason 0x%llx",
		      vcpu->index,
		      (unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason);
}

#define INSTRUCTION_TEXT (3 * sizeof(((struct kvm_run *)NULL)->emulation_failure.insn_bytes) + 1)

/* The bytes KVM could not emulate, where it says. */
static void describe_instruction(const struct kvm_run *run, char text[INSTRUCTION_TEXT])
{
	bool given =
		run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
		run->emulation_failure.ndata >= 3 &&
		run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	u32 bytes = MIN((u32)run->emulation_failure.insn_size,
			(u32)sizeof(run->emulation_failure.insn_bytes));

	text[0] = 0;
	for (u32 i = 0; given && i < bytes; i++)
		snprintf(text + 3 * i, 4, " %02x", run->emulation_failure.insn_bytes[i]);
}

static void exit_internal_error(struct vcpu *vcpu)
{
	char instruction[INSTRUCTION_TEXT];
	char where[VCPU_TEXT_MAX];

	vcpu_describe(vcpu, where);
	describe_instruction(vcpu->run, instruction);
	hv_guest_fail(vcpu->owner->guest, ATTACH_EXIT_CRASH,
		      "%s: KVM cannot go on, suberror %u: %s%s", where,
		      vcpu->run->internal.suberror,
		      instruction[0] ? "it cannot emulate" : "often an instruction outside memory",
		      instruction);
}

static void exit_unknown(struct vcpu *vcpu)
{
	char where[VCPU_TEXT_MAX];

	vcpu_describe(vcpu, where);
	hv_guest_fail(vcpu->owner->guest, ATTACH_EXIT_CRASH,
		      "%s: exit reason %u, which no guest of "
		      "ours has cause for",
		      where, vcpu->run->exit_reason);
}

static void exit_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
}

static void (*const exit_handlers[])(struct vcpu *vcpu) = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_HLT] = exit_halt,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_INTR] = exit_nothing,
};

void vcpu_handle_exit(struct vcpu *vcpu)
{
	u32 reason = vcpu->run->exit_reason;

	if (reason < ARRAY_SIZE(exit_handlers) && exit_handlers[reason])
		exit_handlers[reason](vcpu);
	else
		exit_unknown(vcpu);
}
