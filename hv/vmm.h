/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM process: one guest, on memory that a manager owns. It is the VMM's end of the attach
 * protocol (docs/attach.md).
 */
#ifndef HV_VMM_H
#define HV_VMM_H

#include "hv/boot.h"

enum vmm_status {
	VMM_STATUS_OK = 0,     /* the manager was told how the guest ended, however that was */
	VMM_STATUS_FAILED = 1, /* it could not be told */
	VMM_STATUS_ORPHAN = 3, /* the manager died, and the guest with it */
};

/*
 * Runs the guest that the manager at the other end of `socket` orders, on the embedded image. Returns
 * the exit status (enum vmm_status) if no guest was started. Once one was, the process ends in here,
 * by _exit(): a vCPU may wait for memory that nobody will bring, and exit() would wait for it.
 */
int vmm_main(int socket);

/* The same with an image of the caller's. */
int vmm_run(int socket, const struct boot_image *image);

#endif
