/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest, whatever executes it: its memory, its vCPUs' threads, how it is told to stop, and how it
 * ended. The life of one:
 *
 *	hv_guest_create      check the settings, parse the workload, take the data file
 *	ram_map_*            the caller maps guest->ram
 *	hv_guest_prepare     choose an accelerator; the guest's memory is untouched so far
 *	hv_guest_boot        write what is to run                } these touch guest memory, which may
 *	hv_guest_start       the vCPUs run                       } be absent: they wait for the manager
 *	hv_guest_collect     statistics, at any time             } as long as it takes, so a thread
 *	hv_guest_order_stop  ask what runs to end                } that must answer it never calls them
 *	hv_guest_halt        tell the vCPUs to leave at once
 *	hv_guest_destroy     wait for them, free everything; or hv_guest_abandon
 *
 * It ends when its last vCPU has, or at once with the first fatal event; hv_guest_ended() says so, and
 * `notify` and `over` become readable.
 */
#ifndef HV_GUEST_H
#define HV_GUEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "attach/attach.h"
#include "guest-driver/abi.h"
#include "hv/accel.h"
#include "hv/balloon.h"
#include "hv/boot.h"
#include "hv/console.h"
#include "hv/payload.h"
#include "hv/pvh.h"
#include "hv/ram.h"

struct hv_guest {
	/* Set before the first vCPU starts, then constant. */
	struct attach_guest config;
	const struct payload_ops *payload;
	struct pvh_image kernel; /* of a guest that boots one */
	struct guest_args args;
	enum guest_workload workload;
	struct boot_image image;
	u64 entry;
	struct ram ram;
	u8 *data;	/* read-only mapping of the data file; NULL without one */
	u64 data_bytes; /* of the mapping: whole pages */
	u64 tsc_khz;
	struct accel *accel;
	struct hv_balloon *balloon; /* NULL: it has none */
	int notify;		    /* eventfd: console text to fetch, or the guest has ended */
	int over;		    /* eventfd: readable for good once the guest has ended */
	int doorbell;		    /* eventfd: a vCPU asks for its statistics to be read */

	struct console console;
	_Atomic u64 strays; /* accesses to ports and registers nobody owns */

	pthread_mutex_t lock; /* guards all below; never held while touching guest memory */
	pthread_cond_t changed;
	u32 interrupts;		   /* of devices, so far: sleepers wake */
	u32 seen[GUEST_MAX_VCPUS]; /* ... by the end of each vCPU's last sleep */
	bool stopping;		   /* told to finish: sleepers wake, and nobody sleeps any more */
	_Atomic bool
		leaving; /* vCPUs are to return at once; written under the lock, read without */
	bool fatal;
	bool verify_failed;
	u32 threads; /* started */
	u32 running;
	pthread_t thread[GUEST_MAX_VCPUS];
	enum attach_exit_code code; /* when fatal */
	char text[ATTACH_TEXT_MAX];
};

/*
 * Checks the settings and makes a guest without memory. data_fd (when config->data_bytes > 0) and
 * the image stay the caller's; the image must outlive the guest. Returns 0, or -errno with what is
 * wrong in text[ATTACH_TEXT_MAX].
 */
int hv_guest_create(const struct attach_guest *config, int data_fd, const struct boot_image *image,
		    struct hv_guest **guest, char *text);
int hv_guest_prepare(struct hv_guest *guest, char *text);
void hv_guest_boot(struct hv_guest *guest);

/* Starts a thread per vCPU. A failure ends the guest, as any other death does. */
void hv_guest_start(struct hv_guest *guest);

/* Sums up the statistics of all vCPUs. */
void hv_guest_collect(const struct hv_guest *guest, struct attach_stats *stats);

/* Asks the workload to verify and end, and wakes vCPUs that sleep; a kernel is ended at once. */
void hv_guest_order_stop(struct hv_guest *guest);

/* Tells a guest that waits for the others that they are filled. Touches guest memory. */
void hv_guest_begin(struct hv_guest *guest);

/* For payloads: vCPUs that sleep wake, and none sleeps any more. */
void hv_guest_wake(struct hv_guest *guest);

/* Never waits. */
void hv_guest_halt(struct hv_guest *guest);

/* The same, and lets go of the threads, for a process that is about to end whether they have left or
 * not. Only hv_guest_verdict() may follow. */
void hv_guest_abandon(struct hv_guest *guest);

bool hv_guest_ended(struct hv_guest *guest);

/* How it ended: fills in code and text. */
void hv_guest_verdict(struct hv_guest *guest, struct attach_exit *exit);

void hv_guest_destroy(struct hv_guest *guest);

/*
 * For accelerators and devices, from any vCPU's thread, with no lock held.
 */

static inline bool hv_guest_leaving(const struct hv_guest *guest)
{
	return atomic_load_explicit(&guest->leaving, memory_order_relaxed);
}

/* The guest cannot go on. The first one to say so is believed; the vCPUs leave. */
void hv_guest_fail(struct hv_guest *guest, enum attach_exit_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A vCPU has finished and says how (enum guest_exit, but guests write what they like). */
void hv_guest_vcpu_exit(struct hv_guest *guest, u32 vcpu, u32 how);

/* Sleeps up to that long (at most a second), less when the guest is told to stop or leave, or a device has
 * interrupted since this vCPU last slept. */
void hv_guest_sleep(struct hv_guest *guest, u32 vcpu, u32 milliseconds);

/* A device interrupts a guest that has no interrupt controller: counts it in the boot page, where vCPUs
 * look, and wakes those that sleep. Touches guest memory. */
void hv_guest_interrupt(struct hv_guest *guest);

void hv_guest_console(struct hv_guest *guest, const char *text, u32 length);

/* An access nobody owns: counted, and told once unless the payload probes. what: "port", "register". */
void hv_guest_stray(struct hv_guest *guest, const char *what, u64 address);

/* Makes an eventfd readable. */
void hv_event_raise(int eventfd);
/* Makes it unreadable again. */
void hv_event_clear(int eventfd);

#endif
