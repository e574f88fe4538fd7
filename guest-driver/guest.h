/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of the nano guest and what it runs. Workloads see memory, statistics and the outside world
 * through struct guest_cpu alone, so that the same sources are a freestanding KVM guest
 * (platform_kvm.c) and threads of a host process (platform_thread.c).
 *
 * A workload is a number of units (pages, records), each owned by one vCPU, and four things done to
 * them, driven by guest.c in this order:
 *
 *	prepare   take memory, set cpu->units
 *	fill      write every unit for the first time           phase FILL
 *	operate   one operation, timed, until told to stop       phase RUN
 *	verify    read every unit; then audit the bookkeeping    phase VERIFY
 */
#ifndef GUEST_DRIVER_GUEST_H
#define GUEST_DRIVER_GUEST_H

#include "guest-driver/abi.h"
#include "guest-driver/balloon.h"
#include "guest-driver/cache.h"
#include "guest-driver/churn.h"
#include "guest-driver/content.h"
#include "guest-driver/heap.h"
#include "guest-driver/zipf.h"

struct guest_cpu;
struct guest_host;

/* The outside world: port writes, or calls. */
struct guest_platform {
	void (*console)(struct guest_cpu *cpu, const char *text, size_t length);
	void (*sleep_ms)(struct guest_cpu *cpu, u32 milliseconds);
	void (*doorbell)(struct guest_cpu *cpu);
	/* The balloon's registers, if there is one. */
	u32 (*read_register)(struct guest_cpu *cpu, u32 offset);
	void (*write_register)(struct guest_cpu *cpu, u32 offset, u32 value);
};

struct workload {
	/* True when there was memory enough. */
	bool (*prepare)(struct guest_cpu *cpu);
	void (*fill)(struct guest_cpu *cpu, u64 unit);
	void (*operate)(struct guest_cpu *cpu);
	void (*verify)(struct guest_cpu *cpu, u64 unit);
	void (*audit)(struct guest_cpu *cpu);
	u32 rest_ms; /* sleep before each operation */
};

/* Pages that know what they hold; see pages.h. */
struct pages {
	u8 *base;
	u32 *versions;
	u64 count; /* of those with a place of their own; units beyond are of the cache */
	struct cache cache;
	u64 cursor;	/* sweep: the next page; phase: the first page of the working set */
	u64 phase_ends; /* phase: by the clock of guest_now_ns, or by operations */
};

/* A hash table of records; see kv.h. */
struct kv {
	struct kv_slot *slots;
	u64 capacity; /* slots */
	u8 *records;
	u32 record_bytes;
	struct zipf zipf;
};

struct guest_cpu {
	const struct guest_platform *platform;
	struct guest_host *host; /* threads only */
	u64 ram;		 /* address of guest address 0 */
	u32 index;
	struct guest_boot *boot; /* only `stop` and `interrupts` are read after the start */
	struct guest_vcpu_stats *stats;
	struct guest_args args;
	u64 tsc_khz;

	struct heap heap;
	struct content content;
	u64 random; /* state of random_next */
	u64 units;  /* of the workload, numbered from 0 */
	u64 filled; /* units below this one have been written */
	u64 writes; /* after the fill: each made one unit one version newer */
	u64 verified_bytes;
	u64 run_began;		       /* by the clock of guest_now_ns */
	u64 thought_us;		       /* think time not slept yet */
	u32 complaints;		       /* printed */
	u32 interrupts;		       /* of the boot page, as last seen */
	u32 patience;		       /* polls until the clock is looked at */
	struct balloon_driver balloon; /* of vCPU 0 */
	struct churn churn;	       /* ... too */
	struct exchange *exchange;
	u64 rewrite_at; /* by the clock of guest_now_ns; 0: not, or done */

	/* Of whichever workload runs. */
	union {
		struct pages pages;
		struct kv kv;
	};
};

/* Runs this vCPU to its end; platform, host, ram and index are set, all else is made here. */
enum guest_exit guest_run(struct guest_cpu *cpu, const u8 *data);

/* A pointer to a guest address, and back. */
static inline void *guest_pointer(const struct guest_cpu *cpu, u64 address)
{
	return (void *)(cpu->ram + address);
}

static inline u64 guest_address(const struct guest_cpu *cpu, const void *pointer)
{
	return (u64)pointer - cpu->ram;
}

static inline bool guest_stopped(const struct guest_cpu *cpu)
{
	return __atomic_load_n(&cpu->boot->stop, __ATOMIC_RELAXED);
}

/* Time since some moment, by the time-stamp counter. */
u64 guest_now_ns(const struct guest_cpu *cpu);

/* To be called between operations, and after a sleep: does what the balloon asks of this vCPU. Cheap when
 * that is nothing. */
void guest_poll(struct guest_cpu *cpu);

/* Counts memory that was read and found right. */
void guest_verified(struct guest_cpu *cpu, u64 bytes);

/*
 * Counts a failure at `where`, keeps the first address, and says what is wrong on the console, for
 * the first few: an endless list would cost an exit a character and tell no more.
 */
void guest_failed(struct guest_cpu *cpu, const void *where, const char *what, u64 unit,
		  u32 version);

/* What became of a unit that does not hold the content of its version: a word for guest_failed. */
const char *guest_diagnose(const struct guest_cpu *cpu, const void *from, u32 bytes, u64 unit,
			   u32 version);

/* The number under which a unit's content is drawn: no two vCPUs share one. */
static inline u64 guest_piece(const struct guest_cpu *cpu, u64 unit)
{
	return (u64)cpu->index << 48 | unit;
}

/* By enum guest_workload. */
extern const struct workload guest_workloads[GUEST_WORKLOADS];

#endif
