/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload is what a guest runs: Ballast's own nano guest, which speaks guest-driver/abi.h with us,
 * or a kernel that somebody else wrote, which knows nothing of us but its devices. The guest
 * (hv/guest.h) has the rest in common; which accelerators can run it, the payload says.
 */
#ifndef HV_PAYLOAD_H
#define HV_PAYLOAD_H

#include "attach/attach.h"
#include "hv/accel.h"

struct hv_guest;

struct payload_ops {
	const struct accel_ops *const *accels; /* in order of preference; the last is NULL */
	const char *on_triple_fault;	       /* what one means, for messages */
	bool probes; /* it tries addresses that nobody owns as a matter of course */

	/* Checks the settings and sets the guest's data or kernel from the data file, which stays the
	 * caller's (-1: none). Returns 0, or -errno and what is wrong in text[ATTACH_TEXT_MAX]. */
	int (*check)(struct hv_guest *guest, int data_fd, char *text);

	/* The three below touch guest memory, hence may wait for the manager. */

	/* Called once, after the accelerator's boot(). NULL: nothing. */
	void (*boot)(struct hv_guest *guest);
	/* How it does. */
	void (*collect)(const struct hv_guest *guest, struct attach_stats *stats);
	/* Asks it to end. */
	void (*order_stop)(struct hv_guest *guest);
	/* Tells what runs that all guests are filled. NULL: it does not care. */
	void (*begin)(struct hv_guest *guest);
};

extern const struct payload_ops payload_nano;
extern const struct payload_ops payload_linux;

/* Which of them this workload needs. */
const struct payload_ops *payload_of(const char *workload);

#endif
