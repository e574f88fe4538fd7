/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine of /dev/kvm: its memory slots and doorbells, and what its vCPUs are made of.
 * One thread sets it up; then it does not change.
 */
#ifndef HV_KVM_H
#define HV_KVM_H

#include <linux/kvm.h>

#include "hv/ram.h"
#include "lib/addr.h"

struct kvm_vm {
	int kvm; /* /dev/kvm */
	int fd;
	u32 slots;
	u32 run_bytes;	   /* size of a vCPU's struct kvm_run mapping */
	bool has_readonly; /* KVM_MEM_READONLY */
	struct kvm_cpuid2 *cpuid;
};

/* Returns 0, or -errno and why. */
int kvm_vm_open(struct kvm_vm *vm, const char **why);
void kvm_vm_close(struct kvm_vm *vm);

/* Makes `length` bytes (whole pages) of this process the guest's memory at gpa. readonly: guest
 * writes become MMIO exits, or fail KVM_RUN where KVM cannot do that. */
int kvm_vm_add_memory(struct kvm_vm *vm, gpa_t gpa, hva_t hva, u64 length, bool readonly);

/* The same for all of RAM. */
int kvm_vm_add_ram(struct kvm_vm *vm, const struct ram *ram);

/* A 32-bit write to this port, or this MMIO address, signals the eventfd without leaving KVM. */
int kvm_vm_add_doorbell(struct kvm_vm *vm, u64 address, bool port, int eventfd);

/* The general registers a vCPU of the nano guest starts with. */
struct kvm_entry {
	u64 rip, rsp, rdi;
};

/* Makes a vCPU, in 64-bit mode at CPL 3 with IOPL 3 on the tables at `tables`. Returns its
 * descriptor or -errno. */
int kvm_vcpu_create(const struct kvm_vm *vm, u32 index, const struct kvm_entry *entry,
		    gpa_t tables);

/* The frequency of the time stamp counter the guest reads; 0 when KVM does not know. */
u64 kvm_vcpu_tsc_khz(int vcpu);

#endif
