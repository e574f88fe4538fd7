/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtio device asks of the machine it is part of: guest memory by checked address, and an
 * interrupt. So the queues and the transport know nothing of KVM, and a test or a fuzzer can be the
 * machine.
 */
#ifndef VIRTIO_HOST_H
#define VIRTIO_HOST_H

#include "lib/addr.h"

struct virtio_host;

struct virtio_host_ops {
	/* Where guest memory [gpa, gpa + length) lies, for any numbers a guest may come up with. Returns
	 * 0, or -EFAULT when not all of it is RAM in one piece, or length is 0. The address stays good
	 * while the device lives. Touching it may wait for whoever brings the memory back. */
	int (*map)(struct virtio_host *host, gpa_t gpa, u64 length, hva_t *hva);

	/* Interrupts the driver: InterruptStatus has a bit it did not have, or has it once more. An edge,
	 * from a vCPU's thread or the device's, with the transport's lock held. */
	void (*interrupt)(struct virtio_host *host);
};

struct virtio_host {
	const struct virtio_host_ops *ops;
};

#endif
