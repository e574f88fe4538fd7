// SPDX-License-Identifier: Apache-2.0
/* Digits are made from the right, in a buffer that is just large enough for 64 bits. */
#include "guest-driver/line.h"
#include "guest-driver/guest.h"

static void put(struct line *line, char c)
{
	/* The last place is the newline's. */
	if (line->length < LINE_MAX_BYTES - 1)
		line->text[line->length++] = c;
}

void line_text(struct line *line, const char *text)
{
	while (*text)
		put(line, *text++);
}

static void digits(struct line *line, u64 number, u32 base)
{
	char buffer[21], *cursor = buffer + sizeof(buffer) - 1;

	*cursor = '\0';
	do {
		*--cursor = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	line_text(line, cursor);
}

void line_number(struct line *line, u64 number)
{
	digits(line, number, 10);
}

void line_address(struct line *line, u64 address)
{
	line_text(line, "0x");
	digits(line, address, 16);
}

void line_begin(struct line *line, const struct guest_cpu *cpu)
{
	line->length = 0;
	line_text(line, "vcpu ");
	line_number(line, cpu->index);
	line_text(line, ": ");
}

void line_write(struct line *line, struct guest_cpu *cpu)
{
	line->text[line->length++] = '\n';
	cpu->platform->console(cpu, line->text, line->length);
}
