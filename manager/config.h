/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host and its guests are told to be: plain values, filled in by the configuration file's
 * parser, by tests and by benchmarks. docs/config.md says what each key means to a user.
 */
#ifndef MANAGER_CONFIG_H
#define MANAGER_CONFIG_H

#include "attach/attach.h"
#include "ksm/ksm.h"
#include "lib/types.h"
#include "manager/tuning.h"

#define CONFIG_PATH_MAX 512
/* About what waking a sleeping handler costs: staying awake longer could not pay. */
#define CONFIG_FAULT_POLL_US 100

struct guest_config {
	char name[ATTACH_NAME_MAX];
	u64 memory_bytes; /* a multiple of 2 MiB */
	u32 vcpus;
	u64 seed;
	s32 node; /* NUMA node, -1: any */
	char workload[ATTACH_NAME_MAX];
	char args[ATTACH_TEXT_MAX];
	char data[CONFIG_PATH_MAX]; /* file or folder; "" none */
	char salt[ATTACH_NAME_MAX]; /* guests of the same salt may share content; "" none */
	struct guest_tuning tuning;
	char kernel[CONFIG_PATH_MAX]; /* file: boot it, args is its command line; "" none */
	bool balloon;
	u64 balloon_target;	    /* bytes it should give up from the start */
	char user[ATTACH_NAME_MAX]; /* whose VMM may bring it; "" any that can connect */
	u32 uid;		    /* of that user */
};

/* Who may share the content of a page with whom; the numbers are ESXi's (Mem.ShareForceSalting). */
enum host_salting {
	SALTING_NONE, /* every guest with every other, whatever its salt */
	SALTING_SOME, /* guests of the same salt; those without one among themselves */
	SALTING_ALL,  /* guests of the same salt; one without shares with nobody */
};

struct host_config {
	char name[ATTACH_NAME_MAX];
	u64 memory_bytes;		 /* the budget */
	char swap_file[CONFIG_PATH_MAX]; /* "" none: the pool is the last resort */
	u64 swap_bytes;
	bool swap_keep;
	u32 pool_percent; /* largest share of the budget the compressed pool may take; 0: no pool */
	u32 accept_percent; /* of its limit: below that a pool that was full takes new pages again */
	u32 acceleration; /* LZ4's; 1 compresses best */
	bool cgroup;	  /* run inside a memory cgroup whose limit is budget + slack */
	bool huge_pages;  /* 2 MiB pages where a region is whole */
	u32 fault_poll_us;	       /* longest a fault handler stays awake for the next fault */
	u32 sample_ms;		       /* time between two looks at which memory is idle */
	u32 accel;		       /* enum attach_accel */
	u64 data_bytes;		       /* at most that much of each guest's data is loaded */
	u32 salting;		       /* enum host_salting */
	char control[CONFIG_PATH_MAX]; /* where the control tree is mounted; "" default, "off" */
	char metrics[CONFIG_PATH_MAX]; /* "ADDRESS:PORT" of the metrics; "" none */
	char record[CONFIG_PATH_MAX];  /* file to write faults and decisions to; "" none */
	u32 run_seconds;	       /* stop the guests gracefully after that; 0: when they end */
	bool share_before_swap;	       /* one stored blob for evicted pages of the same content */
	struct policy_tuning policy;
	struct ksm_options ksm; /* memory and bind are not set */
	u32 guest_count;
	struct guest_config *guests;
	/* VMMs that bring their guests. */
	bool listens;			    /* for them, at `attach` */
	char attach[CONFIG_PATH_MAX];	    /* the socket; "" default, "off" */
	u32 attach_mode;		    /* its permissions */
	char attach_group[ATTACH_NAME_MAX]; /* ... and group; "" as it comes */
	struct guest_config *guest_default; /* of guests that no section names; NULL: refused */
};

/* The values every key has when nothing is said. */
void host_config_defaults(struct host_config *config);
void guest_config_defaults(struct guest_config *config);

#endif
