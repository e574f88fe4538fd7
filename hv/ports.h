/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of the nano guest: a console, a port to sleep, one to end a vCPU, a doorbell on both
 * buses, and a scratch register. See guest-driver/abi.h.
 */
#ifndef HV_PORTS_H
#define HV_PORTS_H

#include "hv/bus.h"
#include "hv/guest.h"

struct guest_ports {
	struct hv_guest *guest;
	struct bus_device console, sleep, exit, doorbell, scratch;
	_Atomic u64 scratch_value;
	_Atomic u32 exited; /* a bit per vCPU that has written the exit port */
};

/* Puts the devices on the two buses. `ports` must outlive them. Returns 0 or bus_add()'s -errno. */
int guest_ports_add(struct guest_ports *ports, struct hv_guest *guest, struct bus *port_bus,
		    struct bus *mmio_bus);

/* The vCPU has ended itself and must not run on. */
static inline bool guest_ports_exited(struct guest_ports *ports, u32 vcpu)
{
	return atomic_load_explicit(&ports->exited, memory_order_relaxed) >> vcpu & 1;
}

#endif
