/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up a virtual machine. The guest needs little of a PC: no interrupt controller, no timer, no
 * firmware. It starts in user mode already, so all that privileged code would have prepared (segments,
 * control registers, task register) is put into the vCPU from outside, complete enough for the entry
 * checks of VMX and SVM (Intel SDM vol. 3, 27.3.1; AMD APM vol. 2, 15.5.1).
 */
#include "hv/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hv/layout.h"

#define CPUID_ENTRIES 256

#define CR0_PE	       (1UL << 0)
#define CR0_MP	       (1UL << 1)
#define CR0_ET	       (1UL << 4)
#define CR0_NE	       (1UL << 5)
#define CR0_WP	       (1UL << 16)
#define CR0_PG	       (1UL << 31)
#define CR4_PAE	       (1UL << 5)
#define CR4_OSFXSR     (1UL << 9)
#define CR4_OSXMMEXCPT (1UL << 10)
#define EFER_LME       (1UL << 8)
#define EFER_LMA       (1UL << 10)
#define EFER_NXE       (1UL << 11)
#define RFLAGS_ALWAYS  0x2UL
#define RFLAGS_IOPL_3  0x3000UL

#define SELECTOR_CODE	 0x23 /* requested privilege level 3 */
#define SELECTOR_DATA	 0x2b
#define SELECTOR_TSS	 0x30
#define SEGMENT_CODE	 11 /* execute, read, accessed */
#define SEGMENT_DATA	 3  /* read, write, accessed */
#define SEGMENT_TSS_BUSY 11

#define CPUID_FEATURES	    0x1
#define CPUID_TOPOLOGY	    0xb
#define CPUID_APIC_ID_SHIFT 24

static bool kvm_has(const struct kvm_vm *vm, u32 capability)
{
	return ioctl(vm->kvm, KVM_CHECK_EXTENSION, capability) > 0;
}

static const char *kvm_lacks(const struct kvm_vm *vm)
{
	static const struct {
		u32 capability;
		const char *text;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "KVM has no user memory slots"},
		{KVM_CAP_EXT_CPUID, "KVM does not say which CPUID it supports"},
		{KVM_CAP_IOEVENTFD, "KVM has no ioeventfd"},
		{KVM_CAP_IMMEDIATE_EXIT, "KVM has no immediate exit (Linux 4.12)"},
	};

	if (ioctl(vm->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return "KVM speaks another API version";
	for (u32 i = 0; i < ARRAY_SIZE(needed); i++)
		if (!kvm_has(vm, needed[i].capability))
			return needed[i].text;
	return NULL;
}

static int kvm_load_cpuid(struct kvm_vm *vm)
{
	vm->cpuid = calloc(1, sizeof(*vm->cpuid) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	if (!vm->cpuid)
		return -ENOMEM;
	vm->cpuid->nent = CPUID_ENTRIES;
	return ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, vm->cpuid) ? -errno : 0;
}

static int kvm_create_vm(struct kvm_vm *vm)
{
	u64 identity = HV_IDENTITY_GPA;

	do {
		vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return -errno;
	/* Wanted by VMX alone; elsewhere absent, and not missed. */
	ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	ioctl(vm->fd, KVM_SET_TSS_ADDR, HV_TSS_GPA);
	return 0;
}

int kvm_vm_open(struct kvm_vm *vm, const char **why)
{
	int err = -ENOSYS;
	int run_bytes;

	*vm = (struct kvm_vm){.fd = -1};
	*why = "cannot open /dev/kvm";
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return -errno;
	*why = kvm_lacks(vm);
	if (*why)
		goto close;
	*why = "cannot size a vCPU's run area";
	run_bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		goto close;
	vm->run_bytes = (u32)run_bytes;
	vm->has_readonly = kvm_has(vm, KVM_CAP_READONLY_MEM);
	*why = "cannot read the supported CPUID";
	err = kvm_load_cpuid(vm);
	if (err)
		goto close;
	*why = "cannot create a virtual machine";
	err = kvm_create_vm(vm);
	if (!err)
		return 0;
close:
	kvm_vm_close(vm);
	return err;
}

void kvm_vm_close(struct kvm_vm *vm)
{
	free(vm->cpuid);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	*vm = (struct kvm_vm){.kvm = -1, .fd = -1};
}

int kvm_vm_add_memory(struct kvm_vm *vm, gpa_t gpa, hva_t hva, u64 length, bool readonly)
{
	struct kvm_userspace_memory_region region = {
		.slot = vm->slots,
		.flags = readonly && vm->has_readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa.value,
		.memory_size = length,
		.userspace_addr = (u64)(uintptr_t)hva.ptr,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return -errno;
	vm->slots++;
	return 0;
}

int kvm_vm_add_ram(struct kvm_vm *vm, const struct ram *ram)
{
	int err = 0;

	for (u32 i = 0; i < ram->count && !err; i++) {
		const struct ram_region *region = &ram->regions[i];

		err = kvm_vm_add_memory(vm, region->gpa, (hva_t){ram->base + region->offset},
					region->length, false);
	}
	return err;
}

int kvm_vm_add_doorbell(struct kvm_vm *vm, u64 address, bool port, int eventfd)
{
	struct kvm_ioeventfd doorbell = {
		.addr = address,
		.len = sizeof(u32),
		.fd = eventfd,
		.flags = port ? KVM_IOEVENTFD_FLAG_PIO : 0,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &doorbell) ? -errno : 0;
}

/* The host's CPUID as KVM can offer it, with this vCPU's APIC id. */
static int vcpu_set_cpuid(const struct kvm_vm *vm, int vcpu, u32 index)
{
	for (u32 i = 0; i < vm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &vm->cpuid->entries[i];

		if (entry->function == CPUID_FEATURES) {
			entry->ebx &= (1U << CPUID_APIC_ID_SHIFT) - 1;
			entry->ebx |= index << CPUID_APIC_ID_SHIFT;
		} else if (entry->function == CPUID_TOPOLOGY) {
			entry->edx = index;
		}
	}
	return ioctl(vcpu, KVM_SET_CPUID2, vm->cpuid) ? -errno : 0;
}

static int vcpu_set_sregs(int vcpu, gpa_t tables)
{
	const struct kvm_segment code = {
		.limit = UINT32_MAX,
		.selector = SELECTOR_CODE,
		.type = SEGMENT_CODE,
		.present = 1,
		.dpl = 3,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	const struct kvm_segment data = {
		.limit = UINT32_MAX,
		.selector = SELECTOR_DATA,
		.type = SEGMENT_DATA,
		.present = 1,
		.dpl = 3,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	/* VMX insists on a busy TSS. Port accesses are checked by it where IOPL is not kept. */
	const struct kvm_segment tss = {
		.base = HV_TASK_STATE,
		.limit = HV_TASK_LIMIT,
		.selector = SELECTOR_TSS,
		.type = SEGMENT_TSS_BUSY,
		.present = 1,
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = tss;
	sregs.ldt = (struct kvm_segment){.unusable = 1};
	sregs.gdt = sregs.idt = (struct kvm_dtable){}; /* any exception ends in a shutdown */
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs.cr3 = tables.value;
	sregs.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	sregs.efer = EFER_LME | EFER_LMA | EFER_NXE;
	return ioctl(vcpu, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

static int vcpu_set_regs(int vcpu, const struct kvm_entry *entry)
{
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rsp = entry->rsp,
		.rdi = entry->rdi,
		.rflags = RFLAGS_ALWAYS | RFLAGS_IOPL_3,
	};

	return ioctl(vcpu, KVM_SET_REGS, &regs) ? -errno : 0;
}

int kvm_vcpu_create(const struct kvm_vm *vm, u32 index, const struct kvm_entry *entry, gpa_t tables)
{
	int vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	int err;

	if (vcpu < 0)
		return -errno;
	err = vcpu_set_cpuid(vm, vcpu, index);
	if (!err)
		err = vcpu_set_sregs(vcpu, tables);
	if (!err)
		err = vcpu_set_regs(vcpu, entry);
	if (!err)
		return vcpu;
	close(vcpu);
	return err;
}

u64 kvm_vcpu_tsc_khz(int vcpu)
{
	int khz = ioctl(vcpu, KVM_GET_TSC_KHZ, 0);

	return khz > 0 ? (u64)khz : 0;
}
