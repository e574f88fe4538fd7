/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/record.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define VARINT_BYTES 10

/* Where the numbers of a struct are: all are unsigned, of 1, 4 or 8 bytes. */
struct field {
	u32 offset, width;
};

#define FIELD(type, name)                                                                          \
	{                                                                                          \
		offsetof(struct type, name), sizeof(((struct type *)NULL)->name)                   \
	}
#define HOST(name)     FIELD(target_host, name)
#define GUEST(name)    FIELD(target_guest, name)
#define MEMORY(name)   FIELD(target_memory, name)
#define DECISION(name) FIELD(target_decision, name)

/* The order is the format's: append only, and raise the version. */
static const struct field host_fields[] = {
	HOST(budget),	       HOST(overhead),	     HOST(free),
	HOST(levels.min_free), HOST(levels.pct[0]),  HOST(levels.pct[1]),
	HOST(levels.pct[2]),   HOST(levels.pct[3]),  HOST(levels.pct[4]),
	HOST(tax_pct),	       HOST(coldness.age_s), HOST(coldness.promotion_per_mille),
	HOST(now_ms),
};

static const struct field guest_fields[] = {
	GUEST(memory),
	GUEST(min),
	GUEST(max),
	GUEST(limit),
	GUEST(shares),
	GUEST(resident),
	GUEST(stored),
	GUEST(active),
	GUEST(cold),
	GUEST(balloon),
	GUEST(ballooned),
	GUEST(refaulted),
	GUEST(signs.age_ms),
	GUEST(signs.major_faults),
	GUEST(signs.alloc_stalls),
	GUEST(signs.direct_scans),
	GUEST(signs.direct_reclaims),
	GUEST(signs.refaults),
	GUEST(missed),
	GUEST(pinned),
};

static const struct field memory_fields[] = {
	MEMORY(stoploss.before.age_ms),
	MEMORY(stoploss.before.major_faults),
	MEMORY(stoploss.before.alloc_stalls),
	MEMORY(stoploss.before.direct_scans),
	MEMORY(stoploss.before.direct_reclaims),
	MEMORY(stoploss.before.refaults),
	MEMORY(stoploss.told_ms),
	MEMORY(stoploss.from_ms),
	MEMORY(stoploss.hold_until_ms),
	MEMORY(stoploss.hold_ms),
	MEMORY(stoploss.active),
	MEMORY(stoploss.hurts),
	MEMORY(coldness.age_ms),
	MEMORY(coldness.minute_ms),
	MEMORY(coldness.refaulted),
	MEMORY(coldness.promotion),
	MEMORY(balloon),
	MEMORY(ballooned),
	MEMORY(inflating_ms),
	MEMORY(inflated_ms),
	MEMORY(stuck),
	MEMORY(outlook.resident),
	MEMORY(outlook.at_ms),
	MEMORY(outlook.step_ms),
	MEMORY(outlook.per_s),
	MEMORY(coldness.was_short),
	MEMORY(misses.missed),
	MEMORY(misses.at_ms),
	MEMORY(misses.per_ks),
};

static const struct field decision_fields[] = {
	DECISION(goal),	   DECISION(balloon), DECISION(keep),	DECISION(swap),
	DECISION(cold_ms), DECISION(block),   DECISION(action), DECISION(reason),
};

/* ---- writing ---- */

static void put_bytes(struct record_out *out, const void *bytes, size_t size)
{
	if (out->full || size > out->size - out->used) {
		out->full = true;
		return;
	}
	memcpy(out->data + out->used, bytes, size);
	out->used += size;
}

static void put_number(struct record_out *out, u64 number)
{
	u8 bytes[VARINT_BYTES];
	size_t count = 0;

	do {
		bytes[count++] = (u8)(number & 127) | (number > 127 ? 128 : 0);
		number >>= 7;
	} while (number);
	put_bytes(out, bytes, count);
}

static void put_name(struct record_out *out, const char *name)
{
	size_t length = strnlen(name, ATTACH_NAME_MAX - 1);

	put_number(out, length);
	put_bytes(out, name, length);
}

static void put_fields(struct record_out *out, const void *from, const struct field *fields,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u64 number = 0;

		/* Little-endian. */
		memcpy(&number, (const char *)from + fields[i].offset, fields[i].width);
		put_number(out, number);
	}
}

#define PUT_FIELDS(out, from, fields) put_fields(out, from, fields, ARRAY_SIZE(fields))

size_t record_begin(struct record_out *out, enum record_type type)
{
	const u8 head[5] = {(u8)type};
	size_t at = out->used;

	put_bytes(out, head, sizeof(head));
	return at;
}

bool record_end(struct record_out *out, size_t at)
{
	u32 length = (u32)(out->used - at - 5), check;

	if (!out->full && length <= RECORD_FRAME_MAX) {
		memcpy(out->data + at + 1, &length, sizeof(length));
		check = XXH32(out->data + at, out->used - at, 0);
		put_bytes(out, &check, sizeof(check));
	}
	if (!out->full && length <= RECORD_FRAME_MAX)
		return true;
	out->used = at;
	out->full = false;
	return false;
}

void record_put_host(struct record_out *out, const struct record_host *host)
{
	put_number(out, host->version);
	put_number(out, host->start_ns);
	put_name(out, host->name);
}

void record_put_guest(struct record_out *out, const struct record_guest *guest)
{
	put_number(out, guest->number);
	put_number(out, guest->space);
	put_name(out, guest->name);
}

void record_put_step(struct record_out *out, const struct record_step *step)
{
	put_number(out, step->before);
	put_number(out, (step->active ? 1U : 0) | (step->dry_run ? 2U : 0));
	PUT_FIELDS(out, &step->host, host_fields);
	put_number(out, step->count);
}

void record_put_row(struct record_out *out, const struct record_row *row)
{
	put_number(out, row->number);
	put_number(out, row->restated);
	PUT_FIELDS(out, &row->input, guest_fields);
	if (row->restated)
		PUT_FIELDS(out, &row->memory, memory_fields);
}

void record_put_decision(struct record_out *out, const struct target_decision *decision)
{
	PUT_FIELDS(out, decision, decision_fields);
}

void record_put_state(struct record_out *out, enum host_state state)
{
	put_number(out, state);
}

/* Faults end in several threads, so their times do not quite rise: the sign is the lowest bit. */
void record_put_fault(struct record_out *out, const struct trace_fault *fault, u64 since_ns)
{
	s64 step = (s64)(fault->ended_ns - since_ns);

	put_number(out, step < 0 ? ((u64)-step << 1) | 1 : (u64)step << 1);
	put_number(out, fault->space);
	put_number(out, fault->state);
	put_number(out, fault->index);
	put_number(out, fault->ns);
}

void record_put_end(struct record_out *out, const struct record_end *end)
{
	put_number(out, end->steps_dropped);
	put_number(out, end->faults_dropped);
}

/* ---- reading ---- */

static u64 get_number(struct record_in *in)
{
	u64 number = 0;

	for (u32 i = 0; i < VARINT_BYTES && i < in->left; i++) {
		u8 byte = in->data[i];

		if (i == VARINT_BYTES - 1 && byte > 1)
			break; /* more than 64 bits */
		number |= (u64)(byte & 127) << (7 * i);
		if (byte & 128)
			continue;
		in->data += i + 1;
		in->left -= i + 1;
		return number;
	}
	in->bad = true;
	in->left = 0;
	return 0;
}

/* A number that has to be below `end`. */
static u64 get_below(struct record_in *in, u64 end)
{
	u64 number = get_number(in);

	if (number < end)
		return number;
	in->bad = true;
	return 0;
}

static void get_name(struct record_in *in, char name[ATTACH_NAME_MAX])
{
	size_t length = get_below(in, ATTACH_NAME_MAX);

	if (length > in->left) {
		in->bad = true;
		length = 0;
	}
	memcpy(name, in->data, length);
	name[length] = '\0';
	in->data += length;
	in->left -= length;
}

static void get_fields(struct record_in *in, void *to, const struct field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u64 end = fields[i].width == 1 ? 2 : fields[i].width == 4 ? 1UL << 32 : 0;
		u64 number = end ? get_below(in, end) : get_number(in);

		memcpy((char *)to + fields[i].offset, &number, fields[i].width);
	}
}

#define GET_FIELDS(in, to, fields) get_fields(in, to, fields, ARRAY_SIZE(fields))

/* Whether all was there, and nothing more. */
static int finish(const struct record_in *in)
{
	return in->bad || in->left ? -EBADMSG : 0;
}

int record_take(struct record_in *in, enum record_type *type, struct record_in *frame)
{
	u32 length, check;

	if (in->left < RECORD_FRAME_EXTRA)
		return -ENODATA;
	memcpy(&length, in->data + 1, sizeof(length));
	if (length > RECORD_FRAME_MAX)
		return -EBADMSG;
	if (in->left - RECORD_FRAME_EXTRA < length)
		return -ENODATA;
	memcpy(&check, in->data + 5 + length, sizeof(check));
	if (check != XXH32(in->data, 5 + length, 0))
		return -EBADMSG;
	*type = (enum record_type)in->data[0];
	*frame = (struct record_in){in->data + 5, length, false};
	in->data += RECORD_FRAME_EXTRA + length;
	in->left -= RECORD_FRAME_EXTRA + length;
	return 0;
}

int record_get_host(struct record_in *in, struct record_host *host)
{
	host->version = get_number(in);
	host->start_ns = get_number(in);
	get_name(in, host->name);
	return finish(in);
}

int record_get_guest(struct record_in *in, struct record_guest *guest)
{
	guest->number = (u32)get_below(in, 1UL << 32);
	guest->space = (u32)get_below(in, 1UL << 32);
	get_name(in, guest->name);
	return finish(in);
}

int record_get_end(struct record_in *in, struct record_end *end)
{
	end->steps_dropped = get_number(in);
	end->faults_dropped = get_number(in);
	return finish(in);
}

static void get_row(struct record_in *in, struct record_row *row)
{
	*row = (struct record_row){0};
	row->number = (u32)get_below(in, 1UL << 32);
	row->restated = get_below(in, 2);
	GET_FIELDS(in, &row->input, guest_fields);
	if (row->restated)
		GET_FIELDS(in, &row->memory, memory_fields);
}

int record_get_step(struct record_in *in, struct record_step *step, struct record_row *rows)
{
	u64 flags;

	*step = (struct record_step){0};
	step->before = (enum host_state)get_below(in, HOST_STATES);
	flags = get_below(in, 4);
	step->active = flags & 1;
	step->dry_run = flags & 2;
	GET_FIELDS(in, &step->host, host_fields);
	step->count = (u32)get_below(in, TARGET_GUESTS_MAX + 1UL);
	for (u32 i = 0; i < step->count && !in->bad; i++)
		get_row(in, &rows[i]);
	for (u32 i = 0; i < step->count && !in->bad; i++)
		GET_FIELDS(in, &rows[i].decision, decision_fields);
	step->after = (enum host_state)get_below(in, HOST_STATES);
	return finish(in);
}

int record_get_fault(struct record_in *in, struct trace_fault *fault, u64 since_ns)
{
	u64 step;

	if (!in->left)
		return -ENODATA;
	step = get_number(in);
	fault->ended_ns = step & 1 ? since_ns - (step >> 1) : since_ns + (step >> 1);
	fault->space = (u32)get_below(in, 1UL << 32);
	fault->state = (enum page_state)get_below(in, PAGE_STATES);
	fault->index = get_number(in);
	fault->ns = get_number(in);
	return in->bad ? -EBADMSG : 0;
}
