/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads as threads of a host process, for `accel = thread`: the same sources as the nano
 * guest's, on the same RAM at the same guest addresses, with calls in place of port writes. Where
 * there is no /dev/kvm, and under sanitizers and debuggers, this is the guest.
 */
#ifndef GUEST_DRIVER_HOST_H
#define GUEST_DRIVER_HOST_H

#include "guest-driver/abi.h"

struct guest_host;

/* Called on the thread of that vCPU, several vCPUs at once; no lock of ours is held. */
struct guest_host_ops {
	/* One line of text, newline included; not terminated. What port CONSOLE gets byte by byte. */
	void (*console)(struct guest_host *host, u32 vcpu, const char *text, size_t length);
	/* Returns after that many milliseconds, or as soon as boot.stop is set. */
	void (*sleep_ms)(struct guest_host *host, u32 vcpu, u32 milliseconds);
	/* The statistics of this vCPU have entered another phase. */
	void (*doorbell)(struct guest_host *host, u32 vcpu);
	/* The balloon's registers (virtio/mmio_abi.h), 32 bits; only where boot.devices has one. */
	u32 (*read_register)(struct guest_host *host, u32 offset);
	void (*write_register)(struct guest_host *host, u32 offset, u32 value);
};

/* Owned by the caller, who usually embeds it; unchanged while a vCPU runs. */
struct guest_host {
	u8 *ram;	/* guest address A is ram + A, for A below boot.ram_bytes */
	const u8 *data; /* boot.data_bytes of it; NULL when 0 */
	const struct guest_host_ops *ops;
};

/*
 * Runs the workload of one vCPU to its end: as ordered by the boot page at host->ram + GUEST_BOOT,
 * with statistics at GUEST_STATS. One thread per vCPU, each vCPU once. An answer of
 * GUEST_EXIT_PANIC means the boot page makes no sense; the console says why.
 */
enum guest_exit guest_thread_main(struct guest_host *host, u32 vcpu);

/* Asks the vCPUs of a boot page to finish; from any thread. */
static inline void guest_stop(struct guest_boot *boot)
{
	__atomic_store_n(&boot->stop, 1, __ATOMIC_RELAXED);
}

/*
 * Copies the statistics of a vCPU, KVM guest or thread, while it goes on writing them. Every field
 * is whole; one field may be an operation ahead of another.
 */
void guest_stats_copy(struct guest_vcpu_stats *to, const struct guest_vcpu_stats *from);

#endif
