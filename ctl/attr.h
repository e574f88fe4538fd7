/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of a host and its guests: what an administrator can look at and change while all runs.
 * One row for each (ctl/attr_table.c), and everything else follows from it: the files of the mounted
 * tree, the command line, metrics, docs/control.md, the columns of `ballast top`.
 *
 * A read shows one moment: the caller takes a snapshot, and every value comes from that. A write is
 * text; it is checked whole, then applied, or refused with a sentence.
 */
#ifndef CTL_ATTR_H
#define CTL_ATTR_H

#include <stdio.h>

#include "manager/manager.h"

struct control;

#define ATTR_VALUE_MAX 255 /* characters of what can be written */
#define ATTR_ERROR_MAX 256

/* Where in the tree a table's paths begin. */
enum attr_scope {
	ATTR_HOST,  /* / */
	ATTR_GUEST, /* /vm/NAME/ */
	ATTR_NODE,  /* /numa/nodeN/ */
	ATTR_SCOPES
};

enum attr_kind {
	ATTR_GAUGE,   /* a number, now */
	ATTR_COUNTER, /* a number that only grows */
	ATTR_SETTING, /* a number that can be written */
	ATTR_TEXT,    /* words or lines */
};

enum attr_unit {
	UNIT_NONE,
	UNIT_BYTES,
	UNIT_BYTES_PER_S,
	UNIT_PAGES, /* of 4096 bytes */
	UNIT_PERCENT,
	UNIT_PERMILLE,
	UNIT_SECONDS,
	UNIT_MS,
	UNIT_US,
	UNITS
};

/* A moment of what is looked at. `guest` for ATTR_GUEST, `node` for ATTR_NODE only. */
struct attr_view {
	struct control *control;
	const struct host_snapshot *host;
	const struct guest_snapshot *guest;
	u32 index; /* of the guest */
	u32 node;
};

/* What is written to. */
struct attr_target {
	struct control *control;
	struct manager *manager;
	u32 index; /* of the guest */
};

struct attr {
	const char *path; /* below its scope, without a leading slash */
	enum attr_kind kind;
	enum attr_unit unit;
	/* Where the number is: in the scope's snapshot, if width (bytes) is not 0; else a function. */
	u32 offset, width;
	u64 (*number)(const struct attr_view *view);
	/* ATTR_TEXT: writes its lines; `state` is that of the row. */
	void (*text)(const struct attr_view *view, u32 state, FILE *out);
	u32 state; /* enum page_state or balloon_stat, for rows that exist for each */
	/* Applies a value that is within range. Returns 0 or -errno and a sentence. NULL: read-only. */
	int (*write)(const struct attr_target *target, const struct attr *attr, u64 value,
		     char *error, size_t size);
	/* ATTR_TEXT that can be written: applies a text, or refuses it with a sentence. NULL: read-only. */
	int (*take)(const struct attr_target *target, const char *text, char *error, size_t size);
	enum manager_knob knob; /* for the common write */
	u64 min, max, step;	/* of what is written: inclusive; a multiple of step, 0: any */
	const char *help;
};

struct attr_table {
	const struct attr *attrs;
	u32 count;
};

extern const struct attr_table attr_tables[ATTR_SCOPES];

static inline bool attr_writable(const struct attr *attr)
{
	return attr->write || attr->take;
}

/* The number of an attribute that is not text, in its unit. */
u64 attr_number(const struct attr *attr, enum attr_scope scope, const struct attr_view *view);

/* Its value as it is read, each line ended by a newline. */
void attr_show(const struct attr *attr, enum attr_scope scope, const struct attr_view *view,
	       FILE *out);

/*
 * The number that `text` says, checked against unit and range. Returns 0; or -EINVAL with what is allowed
 * in `error`. Numbers are decimal; bytes take K, M, G, T; percentages may end with %.
 */
int attr_parse(const struct attr *attr, const char *text, u64 *value, char *error, size_t size);

/* What a balloon's statistic of that tag is called, as the Linux driver has it: balloon/stats/NAME. */
const char *attr_stat_name(u32 tag);

/* "bytes", "ms", ...; "" for UNIT_NONE. */
const char *attr_unit_name(enum attr_unit unit);

/* What may be written, for help and messages: "a size from 32M to 64T, a multiple of 2M". */
void attr_describe(const struct attr *attr, char *text, size_t size);

#endif
