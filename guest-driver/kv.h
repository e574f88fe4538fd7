/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kv workload: a hash table with records of one size, read and updated by zipfian choice as in
 * YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010; mixes A, B, C).
 * Index and records both lie in guest memory. A record repeats its key and version, and its body is
 * the content of both.
 */
#ifndef GUEST_DRIVER_KV_H
#define GUEST_DRIVER_KV_H

#include "guest-driver/guest.h"

/* Open addressing with linear probing; record is one more than its number, 0 an empty slot. */
struct kv_slot {
	u64 key;
	u32 record;
	u32 version;
};

/* What a record begins with; value_bytes of the arguments includes it. */
struct kv_record {
	u64 key;
	u32 version;
	u32 bytes;
};

bool kv_prepare(struct guest_cpu *cpu);
void kv_fill(struct guest_cpu *cpu, u64 unit);
void kv_operate(struct guest_cpu *cpu);
void kv_verify(struct guest_cpu *cpu, u64 unit);
void kv_audit(struct guest_cpu *cpu);

#endif
