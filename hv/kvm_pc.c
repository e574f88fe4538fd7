/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine for a kernel: chips and the state at its entry. */
#include "hv/kvm_pc.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CR0_PE	      (1UL << 0)
#define CR0_ET	      (1UL << 4)
#define RFLAGS_ALWAYS 0x2UL

#define SEGMENT_CODE	 11 /* execute, read, accessed */
#define SEGMENT_DATA	 3  /* read, write, accessed */
#define SEGMENT_TSS_BUSY 11
#define SELECTOR_CODE	 0x08
#define SELECTOR_DATA	 0x10
#define SELECTOR_TSS	 0x18
#define TSS_LIMIT	 0x67

#define CPUID_FEATURES	 0x1
#define CPUID_ECX_CX16	 (1U << 13)
#define CPUID_APIC_SHIFT 24

int kvm_pc_add_chips(const struct kvm_vm *vm, const char **why)
{
	const struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	*why = "KVM has no interrupt controller";
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return -errno;
	*why = "KVM has no timer";
	return ioctl(vm->fd, KVM_CREATE_PIT2, &pit) ? -errno : 0;
}

int kvm_pc_add_interrupt(const struct kvm_vm *vm, u32 line, int eventfd)
{
	const struct kvm_irqfd irqfd = {.fd = (u32)eventfd, .gsi = line};

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) ? -errno : 0;
}

/* A KVM that emulates kernel mode cannot emulate cmpxchg16b, which Linux uses where it may. */
static int set_cpuid(const struct kvm_vm *vm, int vcpu)
{
	for (u32 i = 0; i < vm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &vm->cpuid->entries[i];

		if (entry->function != CPUID_FEATURES)
			continue;
		entry->ebx &= (1U << CPUID_APIC_SHIFT) - 1;
		entry->ecx &= ~CPUID_ECX_CX16;
	}
	return ioctl(vcpu, KVM_SET_CPUID2, vm->cpuid) ? -errno : 0;
}

/* Flat segments of 4 GiB, and a task register that VMX would not do without. */
static int set_sregs(int vcpu)
{
	const struct kvm_segment code = {
		.limit = UINT32_MAX,
		.selector = SELECTOR_CODE,
		.type = SEGMENT_CODE,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_segment data = code;
	const struct kvm_segment tss = {
		.limit = TSS_LIMIT,
		.selector = SELECTOR_TSS,
		.type = SEGMENT_TSS_BUSY,
		.present = 1,
	};
	struct kvm_sregs sregs;

	data.selector = SELECTOR_DATA;
	data.type = SEGMENT_DATA;
	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = tss;
	sregs.ldt = (struct kvm_segment){.unusable = 1};
	sregs.gdt = sregs.idt = (struct kvm_dtable){};
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr3 = sregs.cr4 = sregs.efer = 0;
	return ioctl(vcpu, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

static int set_regs(int vcpu, u32 entry, gpa_t start_info)
{
	const struct kvm_regs regs = {
		.rip = entry,
		.rbx = start_info.value,
		.rflags = RFLAGS_ALWAYS,
	};

	return ioctl(vcpu, KVM_SET_REGS, &regs) ? -errno : 0;
}

int kvm_pc_create_vcpu(const struct kvm_vm *vm, u32 entry, gpa_t start_info)
{
	int vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0UL);
	int err;

	if (vcpu < 0)
		return -errno;
	err = set_cpuid(vm, vcpu);
	if (!err)
		err = set_sregs(vcpu);
	if (!err)
		err = set_regs(vcpu, entry, start_info);
	if (!err)
		return vcpu;
	close(vcpu);
	return err;
}
