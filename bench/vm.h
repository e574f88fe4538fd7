/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine of one vCPU and a few instructions that touches pages in a given order and times
 * each touch by its own time stamp counter. It runs on the calling thread, over any guest RAM that is
 * mapped: managed or plain. The first region of RAM is its own: code, tables, order and times.
 */
#ifndef BENCH_VM_H
#define BENCH_VM_H

#include "bench/order.h"
#include "hv/kvm.h"
#include "hv/ram.h"

struct vm {
	struct kvm_vm kvm;
	const struct ram *ram;
	int vcpu;
	struct kvm_run *run;
	u64 entry[2]; /* guest addresses of the two programs */
};

/* Returns 0, or -errno and why. */
int vm_open(struct vm *vm, const struct ram *ram, const char **why);
void vm_close(struct vm *vm);

/* Reads a byte of each page, as order_touch() does. Returns 0 or -errno. */
int vm_touch(struct vm *vm, struct order *order);

struct vm_gaps {
	u64 ticks;   /* lost in gaps above the threshold */
	u64 longest; /* ticks */
	u64 touches;
};

/* Reads pages [first, first + count) round and round until *stop is set, looking for times when it
 * got nowhere. `stop` lies in the guest: vm_stop_word(). */
int vm_watch(struct vm *vm, u32 first, u32 count, u32 threshold_ticks, struct vm_gaps *gaps);
volatile u32 *vm_stop_word(const struct vm *vm);

#endif
