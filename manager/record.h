/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of a record of a run (docs/record.md): frames, each with its length and a checksum, of what
 * the policy saw and decided, step by step, and of the faults. Numbers are written in seven bits a byte,
 * the lowest first, so that most take one to four bytes. Encoding and decoding; no I/O.
 *
 * A reader trusts nothing: every length is bounded, every frame checked before it is looked into.
 */
#ifndef MANAGER_RECORD_H
#define MANAGER_RECORD_H

#include "attach/attach.h"
#include "balloon/target.h"
#include "mem/trace.h"

#define RECORD_MAGIC	   "BALLREC1"
#define RECORD_VERSION	   4U
#define RECORD_FRAME_MAX   (1U * MiB) /* bytes of a frame's content */
#define RECORD_FRAME_EXTRA 9U	      /* bytes that a frame adds: type, length, checksum */

enum record_type {
	RECORD_HOST = 'H',   /* the first: who ran, in which version of this format */
	RECORD_GUEST = 'G',  /* a guest's number, its space from now on, its name */
	RECORD_STEP = 'S',   /* one step of the policy: inputs and decisions */
	RECORD_FAULTS = 'F', /* faults, in the order in which they were taken down */
	RECORD_END = 'E',    /* the last: what was dropped. Without it the record is cut short */
};

/* Bytes of a fixed room; what does not fit sets `full` and is not written. */
struct record_out {
	u8 *data;
	size_t used, size;
	bool full;
};

/* What is left to read; what is not there sets `bad`, and reads as 0. */
struct record_in {
	const u8 *data;
	size_t left;
	bool bad;
};

struct record_host {
	u64 version;
	u64 start_ns; /* of the monotonic clock: times of faults count from it */
	char name[ATTACH_NAME_MAX];
};

struct record_guest {
	u32 number; /* as in steps */
	u32 space;  /* as in faults */
	char name[ATTACH_NAME_MAX];
};

/* What a step was made from. */
struct record_step {
	enum host_state before, after;
	bool active, dry_run;
	struct target_host host;
	u32 count;
};

/* One guest in it. */
struct record_row {
	u32 number;
	bool restated; /* `memory` is in the record; else it is what the steps before left */
	struct target_guest input;
	struct target_memory memory; /* before the step */
	struct target_decision decision;
};

struct record_end {
	u64 steps_dropped, faults_dropped;
};

/* Frames are begun, filled and ended; begin returns where it is, for end. A frame that does not fit is
 * taken out again by end, which returns false then. */
size_t record_begin(struct record_out *out, enum record_type type);
bool record_end(struct record_out *out, size_t at);

void record_put_host(struct record_out *out, const struct record_host *host);
void record_put_guest(struct record_out *out, const struct record_guest *guest);
/* A step is this, its guests, then their decisions and the state after. */
void record_put_step(struct record_out *out, const struct record_step *step);
void record_put_row(struct record_out *out, const struct record_row *row);
void record_put_decision(struct record_out *out, const struct target_decision *decision);
void record_put_state(struct record_out *out, enum host_state state);
/* `since_ns`: when the fault before ended, or the start. */
void record_put_fault(struct record_out *out, const struct trace_fault *fault, u64 since_ns);
void record_put_end(struct record_out *out, const struct record_end *end);

/*
 * Takes the next frame out of `in`. Returns 0 and its content; -ENODATA: the bytes end before the frame
 * does; -EBADMSG: its checksum or length is wrong.
 */
int record_take(struct record_in *in, enum record_type *type, struct record_in *frame);

/* All 0 or -EBADMSG. */
int record_get_host(struct record_in *in, struct record_host *host);
int record_get_guest(struct record_in *in, struct record_guest *guest);
int record_get_end(struct record_in *in, struct record_end *end);
/* `rows` has room for TARGET_GUESTS_MAX. */
int record_get_step(struct record_in *in, struct record_step *step, struct record_row *rows);
/* -ENODATA: there are no more in this frame. since_ns as for putting it. */
int record_get_fault(struct record_in *in, struct trace_fault *fault, u64 since_ns);

#endif
