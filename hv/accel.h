/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An accelerator is what executes a guest: KVM, or threads of this process that run the same
 * workloads compiled for the host, for machines without /dev/kvm and for sanitizers and debuggers.
 * The guest (hv/guest.h) has the rest, memory, devices, life and death, in common.
 */
#ifndef HV_ACCEL_H
#define HV_ACCEL_H

#include "attach/attach.h"
#include "lib/types.h"

struct accel;
struct hv_guest;

struct accel_ops {
	const char *name;
	enum attach_accel kind;

	/* Makes what it takes to run the guest, whose RAM and data are mapped, without touching its
	 * memory. Returns 0, or -errno and why: the guest may then try another accelerator. */
	int (*create)(struct hv_guest *guest, struct accel **accel, const char **why);

	/* Writes into guest memory what this accelerator wants there; may wait for the manager. What
	 * the payload wants there it writes itself. Called once, before any run(). NULL: nothing. */
	void (*boot)(struct accel *accel);

	/* Runs a vCPU on the calling thread until it is done, or the guest was told to leave. */
	void (*run)(struct accel *accel, u32 vcpu);

	/* Makes run() return soon, if the accelerator can; any thread. A signal to the vCPU's thread
	 * follows. hv_guest_leaving() is true by then. NULL: cannot. */
	void (*kick)(struct accel *accel, u32 vcpu);

	/* No run() is under way. */
	void (*destroy)(struct accel *accel);
};

struct accel {
	const struct accel_ops *ops;
};

extern const struct accel_ops accel_kvm_ops;
extern const struct accel_ops accel_thread_ops;
extern const struct accel_ops accel_pc_ops; /* KVM, for kernels */

#endif
