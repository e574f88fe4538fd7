/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port, as a driver finds it. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>

#include "hv/uart.h"

enum { DATA, ENABLE, IDENTIFY, LINE, MODEM, LINE_STATE, MODEM_STATE, SCRATCH };

static struct console console;
static struct uart uart;
static int notify, irq;

static void set_up(void)
{
	notify = eventfd(0, EFD_NONBLOCK);
	irq = eventfd(0, EFD_NONBLOCK);
	console_init(&console);
	uart_init(&uart, &console, notify, irq);
}

#define FIXTURE .init = set_up

static u8 in(u64 offset)
{
	struct bus_access access = {.offset = offset, .size = 1};

	uart.device.ops->read(&uart.device, &access);
	return (u8)access.value;
}

static void out(u64 offset, u8 value)
{
	const struct bus_access access = {.offset = offset, .size = 1, .value = value};

	uart.device.ops->write(&uart.device, &access);
}

/* Also makes the event unreadable again. */
static bool raised(int event)
{
	eventfd_t count;

	return !eventfd_read(event, &count);
}

static void expect_text(const char *text)
{
	char got[CONSOLE_BYTES + 1];

	got[console_take(&console, got, CONSOLE_BYTES)] = 0;
	cr_expect_str_eq(got, text);
}

Test(hv_uart, what_is_sent_is_console_text, FIXTURE)
{
	for (const char *c = "hello\r\n"; *c; c++) {
		cr_assert_eq(in(LINE_STATE)&0x60, 0x60, "always ready");
		out(DATA, (u8)*c);
	}
	cr_expect(raised(notify), "a line is worth fetching");
	expect_text("hello\n");
}

Test(hv_uart, the_divisor_hides_data_and_enable, FIXTURE)
{
	out(LINE, 0x83);
	out(DATA, 12);
	out(ENABLE, 3);
	cr_expect_eq(in(DATA), 12);
	cr_expect_eq(in(ENABLE), 3);
	out(LINE, 3);
	cr_expect_eq(in(ENABLE), 0);
	cr_expect_not(raised(irq));
	expect_text("");
}

/* How drivers tell a 16550A from its ancestors. */
Test(hv_uart, it_is_found_to_be_a_16550a, FIXTURE)
{
	cr_expect_eq(in(IDENTIFY), 0x01);
	out(IDENTIFY, 0x01);
	cr_expect_eq(in(IDENTIFY)&0xc0, 0xc0);
	out(ENABLE, 0xff);
	cr_expect_eq(in(ENABLE), 0x0f);
	out(SCRATCH, 0x5a);
	cr_expect_eq(in(SCRATCH), 0x5a);
}

Test(hv_uart, an_empty_transmitter_interrupts_once_for_each_byte, FIXTURE)
{
	out(DATA, 'a');
	cr_expect_not(raised(irq), "not enabled");
	out(ENABLE, 0x02);
	cr_expect(raised(irq));
	cr_expect_eq(in(IDENTIFY), 0x02);
	cr_expect_eq(in(IDENTIFY), 0x01, "told already");
	out(DATA, 'b');
	cr_expect(raised(irq));
	out(ENABLE, 0);
	cr_expect_eq(in(IDENTIFY), 0x01);
}

Test(hv_uart, loop_back_returns_bytes_and_modem_lines, FIXTURE)
{
	out(MODEM, 0x1a); /* loop, OUT2, RTS */
	cr_expect_eq(in(MODEM_STATE)&0xf0, 0x90);
	cr_expect_eq(in(LINE_STATE)&0x01, 0);
	out(DATA, 0x5a);
	cr_expect_eq(in(LINE_STATE)&0x01, 1);
	cr_expect_eq(in(DATA), 0x5a);
	cr_expect_eq(in(LINE_STATE)&0x01, 0);
	expect_text("");
	out(MODEM, 0);
	cr_expect_eq(in(MODEM_STATE)&0xb0, 0xb0);
}

Test(hv_uart, received_bytes_interrupt_before_all_else, FIXTURE)
{
	out(MODEM, 0x10);
	out(ENABLE, 0x03);
	out(DATA, 'x');
	cr_expect(raised(irq));
	cr_expect_eq(in(IDENTIFY), 0x04);
	in(DATA);
	cr_expect_eq(in(IDENTIFY), 0x02);
}

Test(hv_uart, wide_accesses_are_several_registers, FIXTURE)
{
	struct bus_access access = {.offset = LINE, .size = 2, .value = 0x1503};

	uart.device.ops->write(&uart.device, &access);
	cr_expect_eq(in(LINE), 0x03);
	cr_expect_eq(in(MODEM), 0x15);
	uart.device.ops->read(&uart.device, &access);
	cr_expect_eq(access.value, 0x1503);
}

/* Nothing a guest writes anywhere does more than fill the console's buffer. */
Test(hv_uart, rubbish_is_survived, FIXTURE)
{
	srandom(1);
	for (u32 i = 0; i < 100000; i++) {
		u32 size = 1U << (random() % 3);
		struct bus_access access = {
			.offset = (u64)random() % (UART_PORTS + 1 - size),
			.size = size,
			.value = (u64)random() << 31 ^ (u64)random(),
		};

		if (random() % 2)
			uart.device.ops->write(&uart.device, &access);
		else
			uart.device.ops->read(&uart.device, &access);
	}
	cr_expect_leq(console.used, CONSOLE_BYTES);
}
