/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel of somebody else's wants of a virtual machine beyond the nano guest (hv/kvm.h): the
 * interrupt controllers and the timer of a PC, which KVM has inside the kernel, and a processor in
 * protected mode as the PVH entry is defined.
 */
#ifndef HV_KVM_PC_H
#define HV_KVM_PC_H

#include "hv/kvm.h"

/* Gives the machine interrupt controllers and timer; before its first vCPU. Returns 0, or -errno and
 * why. */
int kvm_pc_add_chips(const struct kvm_vm *vm, const char **why);

/* A write to the eventfd becomes an edge of that interrupt line (0 to 15), with nothing of ours in
 * between. Returns 0 or -errno. */
int kvm_pc_add_interrupt(const struct kvm_vm *vm, u32 line, int eventfd);

/* Makes the one vCPU, in 32-bit protected mode without paging, at guest-physical `entry` with ebx at
 * the start information. Returns its descriptor or -errno. */
int kvm_pc_create_vcpu(const struct kvm_vm *vm, u32 entry, gpa_t start_info);

#endif
