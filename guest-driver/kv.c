// SPDX-License-Identifier: Apache-2.0
/*
 * Records are numbered in the order of loading and lie in that order; the index maps a key, which is
 * a mixed number, to its record. Three of four slots are used, which keeps probing short.
 */
#include "guest-driver/kv.h"
#include "guest-driver/random.h"

#define SLOTS_PER_4    3
#define FEWEST_RECORDS 4

static u64 key_of(const struct guest_cpu *cpu, u64 unit)
{
	return random_mix(guest_piece(cpu, unit) + 1);
}

static u32 body_bytes(const struct guest_cpu *cpu)
{
	return cpu->kv.record_bytes - (u32)sizeof(struct kv_record);
}

static struct kv_record *record_at(const struct guest_cpu *cpu, u64 unit)
{
	return (struct kv_record *)(cpu->kv.records + unit * cpu->kv.record_bytes);
}

static u64 slots_for(u64 records)
{
	return records * 4 / SLOTS_PER_4 + 1;
}

/* Both parts are whole pages, so two pages less make sure that they fit. */
bool kv_prepare(struct guest_cpu *cpu)
{
	struct kv *kv = &cpu->kv;
	u64 share = heap_left(&cpu->heap), records;

	if (share < 4 * PAGE_SIZE || cpu->args.value_bytes < 2 * sizeof(struct kv_record))
		return false;
	kv->record_bytes = (u32)ALIGN_UP(cpu->args.value_bytes, 16);
	records = (share - 2 * PAGE_SIZE) * SLOTS_PER_4 /
		  (kv->record_bytes * SLOTS_PER_4 + 4 * sizeof(struct kv_slot));
	records = MIN(records, (u64)UINT32_MAX - 1);
	if (records < FEWEST_RECORDS)
		return false;
	kv->capacity = slots_for(records);
	kv->slots = guest_pointer(cpu, heap_take(&cpu->heap, kv->capacity * sizeof(*kv->slots)));
	kv->records = guest_pointer(cpu, heap_take(&cpu->heap, records * kv->record_bytes));
	zipf_init(&kv->zipf, records, cpu->args.theta_permille);
	cpu->units = records;
	return true;
}

/* The slot of a key, or the empty slot where it would go, or NULL when neither is in the table:
 * which only damage can bring about. */
static struct kv_slot *find_slot(const struct guest_cpu *cpu, u64 key)
{
	const struct kv *kv = &cpu->kv;
	u64 at = random_scale(key, kv->capacity);

	for (u64 probes = 0; probes < kv->capacity; probes++) {
		struct kv_slot *slot = &kv->slots[at];

		if (slot->key == key || !slot->record)
			return slot;
		at = at + 1 < kv->capacity ? at + 1 : 0;
	}
	return NULL;
}

/* The slot of a unit that has been loaded; anything else is a failure of memory. */
static struct kv_slot *loaded_slot(struct guest_cpu *cpu, u64 unit)
{
	u64 key = key_of(cpu, unit);
	struct kv_slot *slot = find_slot(cpu, key);

	if (slot && slot->key == key && slot->record == unit + 1)
		return slot;
	guest_failed(cpu, slot ? slot : cpu->kv.slots, "index: the key is lost", unit, 0);
	return NULL;
}

static void write_record(struct guest_cpu *cpu, struct kv_slot *slot, u64 unit, u32 version)
{
	struct kv_record *record = record_at(cpu, unit);

	record->key = slot->key;
	record->version = version;
	record->bytes = cpu->kv.record_bytes;
	content_write(&cpu->content, record + 1, body_bytes(cpu), guest_piece(cpu, unit), version);
	slot->version = version;
}

/* A slot of the wrong key is possible only where the heap was not zero at first. */
void kv_fill(struct guest_cpu *cpu, u64 unit)
{
	struct kv_slot *slot = find_slot(cpu, key_of(cpu, unit));

	if (!slot || slot->record) {
		guest_failed(cpu, cpu->kv.slots, "index: not zero at first", unit, 0);
		return;
	}
	slot->key = key_of(cpu, unit);
	slot->record = (u32)unit + 1;
	write_record(cpu, slot, unit, 1);
}

static void check_record(struct guest_cpu *cpu, const struct kv_slot *slot, u64 unit)
{
	const struct kv_record *record = record_at(cpu, unit);
	const char *wrong = NULL;

	if (record->key != slot->key || record->bytes != cpu->kv.record_bytes)
		wrong = "record: not the key's";
	else if (record->version != slot->version)
		wrong = "record: not the index' version";
	else if (!content_matches(&cpu->content, record + 1, body_bytes(cpu),
				  guest_piece(cpu, unit), slot->version))
		wrong = guest_diagnose(cpu, record + 1, body_bytes(cpu), unit, slot->version);
	if (wrong)
		guest_failed(cpu, record, wrong, unit, slot->version);
	else
		guest_verified(cpu, cpu->kv.record_bytes);
}

/* An update, as in YCSB, writes without reading the record first. */
void kv_operate(struct guest_cpu *cpu)
{
	u64 unit = zipf_item(&cpu->kv.zipf, random_next(&cpu->random));
	struct kv_slot *slot = loaded_slot(cpu, unit);

	if (!slot)
		return;
	if (random_chance(&cpu->random, cpu->args.write_percent)) {
		write_record(cpu, slot, unit, slot->version + 1);
		cpu->writes++;
	} else {
		check_record(cpu, slot, unit);
	}
}

void kv_verify(struct guest_cpu *cpu, u64 unit)
{
	struct kv_slot *slot = loaded_slot(cpu, unit);

	if (slot)
		check_record(cpu, slot, unit);
}

void kv_audit(struct guest_cpu *cpu)
{
	const struct kv *kv = &cpu->kv;
	u64 sum = 0, used = 0;

	for (u64 at = 0; at < kv->capacity; at++) {
		used += kv->slots[at].record != 0;
		sum += kv->slots[at].version;
	}
	if (used != cpu->filled)
		guest_failed(cpu, kv->slots, "index: keys do not add up to the records loaded",
			     cpu->filled, 0);
	if (sum != cpu->filled + cpu->writes)
		guest_failed(cpu, kv->slots, "index: versions do not add up to the writes made",
			     cpu->filled, 0);
}
