/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What top shows, made from two answers of a host to `tree`: values from the later, rates from both. The
 * columns are one table; pure functions.
 */
#ifndef CTL_TOP_SAMPLE_H
#define CTL_TOP_SAMPLE_H

#include <stdio.h>

#include "attach/attach.h"

enum top_column {
	TOP_SIZE,
	TOP_RAM,
	TOP_ACTIVE,
	TOP_SHARED,
	TOP_BALLOON,
	TOP_ZIP,
	TOP_SWAP,
	TOP_FAULTS,
	TOP_STALL,
	TOP_OPS,
	TOP_SOME,
	TOP_FROM_ZERO,
	TOP_FROM_SHARED,
	TOP_FROM_ZIP,
	TOP_FROM_DISK,
	TOP_ZIP_RATE,
	TOP_UNZIP_RATE,
	TOP_WRITE_RATE,
	TOP_READ_RATE,
	TOP_GOAL,
	TOP_TARGET,
	TOP_ZERO,
	TOP_SHARED_SAVED,
	TOP_SAVED,
	TOP_COLUMNS
};

/* How long faults took since the guest's start, by where the page was: in the CSV alone. */
#define TOP_SOURCES	4U
#define TOP_PERCENTILES 2U

enum top_format { TOP_BYTES, TOP_COUNT, TOP_PERCENT };

struct top_column_info {
	const char *title; /* on the screen */
	const char *csv;
	enum top_format format;
	int width;
	bool rate;	   /* of change, a second */
	const char *paths; /* attributes of a guest, summed; blanks between */
	const char *host;  /* of the host; "" the guests' sum; NULL nothing */
};

extern const struct top_column_info top_columns[TOP_COLUMNS];

struct top_row {
	char name[ATTACH_NAME_MAX];
	char state[24]; /* running: the phase */
	double vcpus;
	double raw[TOP_COLUMNS];    /* as read: totals where the column is a rate */
	double values[TOP_COLUMNS]; /* as shown */
	double latency_us[TOP_SOURCES][TOP_PERCENTILES];
};

struct top_host {
	char name[ATTACH_NAME_MAX];
	char state[16];	      /* high, clear, soft, hard, low */
	char pressure[2][96]; /* some, full */
	double memory, memory_now, used, kernel, pool, pool_pages, disk, guest_memory, uptime_s,
		running, frames, sharing;
};

struct top_sample {
	u64 when_ns;
	struct top_host host;
	struct top_row total; /* the host as a row */
	u32 count;
	struct top_row *guests;
};

/* Reads an answer, which is taken apart. `before` (or NULL) gives the rates. Returns 0 or -ENOMEM; ends
 * with top_free(). */
int top_read(char *text, u64 when_ns, const struct top_sample *before, struct top_sample *sample);
void top_free(struct top_sample *sample);

/* Largest first, or smallest; rows that are equal by name. */
void top_sort(struct top_sample *sample, enum top_column column, bool ascending);

/* A heading, and the host and each guest, a line each; what the host does not have is empty. `seconds`: since the
 * start. */
void top_csv_heading(FILE *out);
void top_csv(const struct top_sample *sample, double seconds, FILE *out);

#endif
