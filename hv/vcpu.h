/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual processor under KVM: one thread that enters the guest, handles what it comes out with,
 * and enters it again.
 */
#ifndef HV_VCPU_H
#define HV_VCPU_H

#include "hv/kvm.h"
#include "hv/ports.h"

/* A guest under KVM, as its vCPUs see it. */
struct kvm_guest {
	struct hv_guest *guest;
	struct kvm_vm vm;
	struct bus port_bus, mmio_bus; /* constant once vCPUs run */
	struct guest_ports ports;
};

struct vcpu {
	struct kvm_guest *owner;
	u32 index;
	int fd;
	struct kvm_run *run; /* shared with the kernel; NULL: not made */
};

/* Makes a vCPU of the nano guest at its entry point. Returns 0 or -errno; then there is nothing to
 * undo. */
int vcpu_create(struct vcpu *vcpu, struct kvm_guest *owner, u32 index);
/* The same with a vCPU of KVM's that the caller has made; its descriptor is taken, also on failure. */
int vcpu_adopt(struct vcpu *vcpu, struct kvm_guest *owner, u32 index, int fd);

void vcpu_destroy(struct vcpu *vcpu);

/* Puts the balloon's registers on the guest's bus, with a doorbell. Returns 0 or -errno. */
int kvm_guest_add_balloon(struct kvm_guest *owner, struct hv_balloon *balloon);

/* Runs on the calling thread until the vCPU ends itself, the guest fails, or is told to leave. */
void vcpu_run(struct vcpu *vcpu);

/* Makes the next KVM_RUN return at once, whether it has begun or not: with a signal to the thread
 * (which covers the one under way) there is no gap. Final: a kicked vCPU does not run again. */
void vcpu_kick(struct vcpu *vcpu);

/* exits.c: handles what KVM_RUN came back with. Failures end the guest. */
void vcpu_handle_exit(struct vcpu *vcpu);

/* "vCPU 1 at rip 0x..., rsp 0x..., cr2 0x...", for messages. */
#define VCPU_TEXT_MAX 128
void vcpu_describe(const struct vcpu *vcpu, char text[VCPU_TEXT_MAX]);

#endif
