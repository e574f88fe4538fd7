/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio balloon of a guest: the device of balloon/, between the guest's registers and rings on one
 * side and the manager on the other, which alone can drop memory. It has a thread of its own, because it
 * waits for both: for guest memory that is not there, and for the manager's answers. What the control
 * thread hands over to it (orders, answers) never waits.
 */
#ifndef HV_BALLOON_H
#define HV_BALLOON_H

#include "attach/attach.h"
#include "hv/bus.h"

struct hv_balloon;
struct hv_guest;

/* Returns 0 or -errno. */
int hv_balloon_create(struct hv_guest *guest, struct hv_balloon **balloon);

/* Waits for its thread. NULL is fine. */
void hv_balloon_destroy(struct hv_balloon *balloon);

/* The device's registers, VIRTIO_MMIO_BYTES of them. */
struct bus_device *hv_balloon_bus(struct hv_balloon *balloon);

/* An eventfd to signal with each write to QueueNotify. */
int hv_balloon_doorbell(const struct hv_balloon *balloon);

/* An eventfd that raises the guest's interrupt line, and stays the caller's. Without one the guest polls:
 * the boot page counts interrupts, and sleeping vCPUs wake. Before the first vCPU starts. */
void hv_balloon_set_irq(struct hv_balloon *balloon, int irq);

/* Starts the thread; it speaks to the manager by this socket. Returns 0 or -errno. */
int hv_balloon_start(struct hv_balloon *balloon, int socket);

/* For the control thread. */
void hv_balloon_order(struct hv_balloon *balloon, const struct attach_balloon *order);
void hv_balloon_dropped(struct hv_balloon *balloon);

#endif
