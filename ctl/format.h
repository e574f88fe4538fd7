/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people read them: short, with a unit, at most as many characters as a table's column
 * has. Pure functions; each returns a small struct by value, to be printed as `format_size(n).text`.
 */
#ifndef CTL_FORMAT_H
#define CTL_FORMAT_H

#include "lib/types.h"

struct formatted {
	char text[24];
};

/* Bytes for prose: "0 B", "512 MiB", "1.5 GiB". */
struct formatted format_size(u64 bytes);

/* Bytes as a configuration file has them, without loss: "512M", "1G", "1536M", "1000". */
struct formatted format_size_exact(u64 bytes);

/* At most five characters: "999", "12.3k", "4.56M". */
struct formatted format_count(u64 count);

/* At most six characters: "850ns", "12.3us", "1.20ms", "35.0s"; "-" for 0: nothing was measured. */
struct formatted format_latency(u64 ns);

/* Time since a start: "04:05", "1:04:05". */
struct formatted format_clock(u64 ns);

/* part/whole in percent, rounded down, so that 100 means all; 0 when whole is 0. */
u32 format_percent(u64 part, u64 whole);

/* One stretch of a bar. */
struct bar_part {
	u64 amount;
	char fill;
};

/*
 * A bar of `width` characters and a NUL into `text`, which holds width + 1: each part in proportion to
 * `whole`, then blanks. What is more than the whole is cut off.
 */
void format_bar(char *text, u32 width, u64 whole, const struct bar_part *parts, u32 count);

/* Replaces what is not printable ASCII by '?', in place: text of a guest must not steer a terminal. */
void format_printable(char *text);

#endif
