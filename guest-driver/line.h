/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of text put together from pieces, for a guest without printf. Whole lines are written at
 * once; what does not fit is cut.
 */
#ifndef GUEST_DRIVER_LINE_H
#define GUEST_DRIVER_LINE_H

#include "lib/types.h"

#define LINE_MAX_BYTES 160

struct guest_cpu;

struct line {
	char text[LINE_MAX_BYTES];
	size_t length;
};

/* Begins a line with "vcpu <index>: ". */
void line_begin(struct line *line, const struct guest_cpu *cpu);
void line_text(struct line *line, const char *text);
void line_number(struct line *line, u64 number);
void line_address(struct line *line, u64 address); /* hexadecimal, with 0x */
/* Ends the line and hands it to the platform. */
void line_write(struct line *line, struct guest_cpu *cpu);

#endif
