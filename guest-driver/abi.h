/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a nano guest and its VMM agree on: where things lie in guest memory, the boot page, the ports.
 * Shared by `hv/` and the guest; freestanding.
 *
 * The guest runs at CPL 3, in long mode, on page tables the VMM built: no interrupts, no kernel, no
 * fault handlers of its own. (KVM-PVM, which needs no VMX, emulates ring 0 at 3 million instructions
 * a second; ring 3 runs at full speed everywhere.) Ports are permitted twice: by IOPL 3, which
 * KVM-PVM does not keep, and by the port bitmap of a task state segment, which it honours
 * (hv/layout.h, HV_TASK_STATE). Guest-virtual addresses:
 *
 *	0                    unmapped, to catch null pointers
 *	GUEST_BOOT           boot page, written by the VMM before the first vCPU starts
 *	(HV_TASK_STATE       the VMM's: the task state segment and its port bitmap)
 *	GUEST_STATS          struct guest_vcpu_stats[vcpus], written by the guest
 *	GUEST_SHARED         what the vCPUs and the balloon's driver share (guest-driver/balloon.h)
 *	GUEST_TABLES         page tables
 *	GUEST_IMAGE          the guest program, then one stack per vCPU
 *	heap_start .. ram    the workload's
 *	GUEST_MMIO           a page of device registers
 *	GUEST_BALLOON        a page of the balloon's, behind it (virtio/mmio_abi.h)
 *	GUEST_DATA           the data file, read-only
 *
 * RAM is contiguous from 0 in guest-virtual addresses; guest-physical it has a hole for devices at
 * 3 GiB, which the page tables hide.
 */
#ifndef GUEST_DRIVER_ABI_H
#define GUEST_DRIVER_ABI_H

#include "lib/hist.h"
#include "lib/types.h"

#define GUEST_ABI_MAGIC	  0x4e414e4f42414c4cULL
#define GUEST_ABI_VERSION 2
#define GUEST_MAX_VCPUS	  16

#define GUEST_BOOT	   0x1000UL
#define GUEST_STATS	   0x10000UL
#define GUEST_SHARED	   0x30000UL
#define GUEST_SHARED_BYTES (GUEST_TABLES - GUEST_SHARED)
#define GUEST_TABLES	   0x80000UL
#define GUEST_IMAGE	   0x100000UL
#define GUEST_STACK_BYTES  (16 * KiB)
#define GUEST_LOW_BYTES	   REGION_SIZE	  /* all of the above lies below; the heap starts here */
#define GUEST_MMIO	   0x4000000000UL /* 256 GiB */
#define GUEST_BALLOON	   (GUEST_MMIO + PAGE_SIZE)
#define GUEST_DATA	   0x4040000000UL /* 257 GiB */

/* Ports, all 32 bits wide but the console's. */
enum guest_port {
	GUEST_PORT_CONSOLE = 0x3f8, /* out, 8 bits: one character */
	GUEST_PORT_SLEEP =
		0x600, /* out: sleep that many milliseconds (at most 1000) or until stop */
	GUEST_PORT_EXIT = 0x604,     /* out: this vCPU is done; enum guest_exit */
	GUEST_PORT_DOORBELL = 0x608, /* out: ioeventfd; the VMM collects statistics */
};

enum guest_exit { GUEST_EXIT_OK, GUEST_EXIT_VERIFY, GUEST_EXIT_PANIC };

/* Registers of the MMIO page: the same doorbell by memory, and a scratch register for tests. */
#define GUEST_MMIO_DOORBELL 0x0
#define GUEST_MMIO_SCRATCH  0x8

enum guest_workload { GUEST_FILL, GUEST_KV, GUEST_SWEEP, GUEST_PHASE, GUEST_IDLE, GUEST_WORKLOADS };

/* Parsed by the VMM from the configuration's `workload-args`; percentages are integers. */
struct guest_args {
	u32 fill_percent;   /* share of the heap the workload uses */
	u32 write_percent;  /* share of operations that write */
	u32 zero_percent;   /* mix of page contents when filling; the rest is data */
	u32 same_percent;   /* one repeated word */
	u32 random_percent; /* incompressible */
	u32 theta_permille; /* zipfian skew; 990 as in YCSB */
	u32 value_bytes;    /* kv: size of a value */
	u32 phase_ms;	    /* phase: how long a working set stays */
	u32 phase_percent;  /* phase: its share of the memory */
	u32 turn_ms;	    /* works so long, then rests so long, and so on; 0: works always */
	u32 rest_first;	    /* ... beginning with a rest */
	u32 think_us;	    /* pause between operations, per vCPU; 0 none */
	u64 ops;	    /* operations per vCPU, then verify and end; 0: until told to stop */
	u32 verify_end;	    /* read and check everything at the end */
	u32 cache_percent;  /* share of the workload's pages that is page cache */
	u32 churn_percent;  /* share of the free pages that is kept in use by turns */
	u32 touch_free; /* write all free pages at the start, as a system does that has booted */
	u32 no_reports; /* do not report free pages to the host */
	u32 rewrite_ms; /* after the fill, every page is rewritten once; 0: never */
	u32 together; /* after the fill, wait until boot->begin */
	u32 hold;	/* when its operations are done: keep the memory until told to stop */
	u32 phase_ops; /* phase: a working set stays for so many operations; 0: by time */
	u32 fill_ms;	/* the fill takes at least so long; 0: as fast as it goes */
	u32 common_percent; /* of runs of pages whose content does not depend on the seed */
	u32 poisons;	/* fill free pages with `poison`, and see that they stay so */
	u32 poison;
	u32 scatter; /* give free pages in disorder, as a guest does that has run for long */
};

struct guest_boot {
	u64 magic;
	u32 version;
	u32 vcpus;
	u64 ram_bytes;
	u64 heap_start; /* the heap ends at ram_bytes */
	u64 data_bytes; /* 0: no data file; the guest makes text-like content itself */
	u64 tsc_khz;
	u64 seed;
	u32 workload; /* enum guest_workload */
	u32 stop;     /* set by the VMM: finish, verify, exit */
	struct guest_args args;
	u32 devices;	/* GUEST_DEVICE_* */
	u32 interrupts; /* by the VMM: grows when a device would interrupt a guest that can be */
	/* RAM from this guest address on lies that much higher in guest-physical memory. */
	u64 hole_start, hole_bytes;
	u32 begin; /* set by the VMM: all guests are filled */
	u32 reserved;
};

#define GUEST_DEVICE_BALLOON 1U

enum guest_phase {
	GUEST_PHASE_BOOT,
	GUEST_PHASE_FILL,
	GUEST_PHASE_WAIT, /* for the others to be filled */
	GUEST_PHASE_RUN,
	GUEST_PHASE_VERIFY,
	GUEST_PHASE_DONE
};

/* One per vCPU, at GUEST_STATS + vcpu * GUEST_STATS_STRIDE. */
struct guest_vcpu_stats {
	u64 ops;
	u64 pages_verified;
	u64 verify_failures;
	u64 bad_address;     /* of the first failure */
	u32 phase;	     /* enum guest_phase */
	u32 permille;	     /* of the phase; 1000 when done, or not known */
	struct hist latency; /* ns per operation */
	u64 run_ns;	     /* phase RUN took that long; 0 before it is over */
};

#define GUEST_STATS_STRIDE 0x2000UL

_Static_assert(sizeof(struct guest_boot) <= PAGE_SIZE, "the boot page is one page");
_Static_assert(sizeof(struct guest_vcpu_stats) <= GUEST_STATS_STRIDE, "ABI");
_Static_assert(GUEST_STATS + GUEST_MAX_VCPUS * GUEST_STATS_STRIDE <= GUEST_SHARED, "ABI");

#endif
