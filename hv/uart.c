/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of a 16550A. */
#include "hv/uart.h"

#include <sys/eventfd.h>

enum uart_register {
	UART_DATA,	 /* or the divisor's low byte */
	UART_ENABLE,	 /* or its high byte */
	UART_IDENTIFY,	 /* written: FIFO control */
	UART_LINE,	 /* line control */
	UART_MODEM,	 /* modem control */
	UART_LINE_STATE, /* read-only, as is the next */
	UART_MODEM_STATE,
	UART_SCRATCH,
};

#define ENABLE_RECEIVED 0x01
#define ENABLE_EMPTY	0x02
#define ENABLE_BITS	0x0f
#define IDENTIFY_NONE	0x01
#define IDENTIFY_EMPTY	0x02
#define IDENTIFY_DATA	0x04
#define IDENTIFY_FIFO	0xc0
#define FIFO_ON		0x01
#define LINE_DIVISOR	0x80 /* the first two ports are the divisor */
#define MODEM_DTR	0x01
#define MODEM_RTS	0x02
#define MODEM_OUT1	0x04
#define MODEM_OUT2	0x08
#define MODEM_LOOP	0x10
#define MODEM_BITS	0x1f
#define STATE_READY	0x01
#define STATE_EMPTY	0x60 /* holding register and shift register */
#define STATE_CTS	0x10
#define STATE_DSR	0x20
#define STATE_RI	0x40
#define STATE_DCD	0x80

static struct uart *of_device(struct bus_device *device)
{
	return container_of(device, struct uart, device);
}

static u8 pending(const struct uart *uart)
{
	if (uart->ready && uart->enabled & ENABLE_RECEIVED)
		return IDENTIFY_DATA;
	if (uart->empty && uart->enabled & ENABLE_EMPTY)
		return IDENTIFY_EMPTY;
	return IDENTIFY_NONE;
}

/* The line is edge-triggered, as an ISA interrupt is. */
static void interrupt(const struct uart *uart)
{
	if (pending(uart) != IDENTIFY_NONE)
		eventfd_write(uart->irq, 1);
}

/* Telling that the transmitter is empty is telling it once. */
static u8 identify(struct uart *uart)
{
	u8 what = pending(uart);

	if (what == IDENTIFY_EMPTY)
		uart->empty = false;
	return what | (uart->fifo & FIFO_ON ? IDENTIFY_FIFO : 0);
}

/* In loop-back the outputs are the inputs. */
static u8 modem_state(const struct uart *uart)
{
	if (!(uart->modem & MODEM_LOOP))
		return STATE_CTS | STATE_DSR | STATE_DCD;
	return (u8)((uart->modem & MODEM_RTS ? STATE_CTS : 0) |
		    (uart->modem & MODEM_DTR ? STATE_DSR : 0) |
		    (uart->modem & MODEM_OUT1 ? STATE_RI : 0) |
		    (uart->modem & MODEM_OUT2 ? STATE_DCD : 0));
}

static u8 take_received(struct uart *uart)
{
	uart->ready = false;
	return uart->received;
}

static u8 read_register(struct uart *uart, enum uart_register index)
{
	bool divisor = uart->line & LINE_DIVISOR;

	switch (index) {
	case UART_DATA:
		return divisor ? uart->divisor[0] : take_received(uart);
	case UART_ENABLE:
		return divisor ? uart->divisor[1] : uart->enabled;
	case UART_IDENTIFY:
		return identify(uart);
	case UART_LINE:
		return uart->line;
	case UART_MODEM:
		return uart->modem;
	case UART_LINE_STATE:
		return STATE_EMPTY | (uart->ready ? STATE_READY : 0);
	case UART_MODEM_STATE:
		return modem_state(uart);
	case UART_SCRATCH:
		return uart->scratch;
	}
	return UINT8_MAX;
}

/* Lines end in CR LF here and in LF on a console. */
static void transmit(struct uart *uart, u8 value)
{
	char c = (char)value;

	uart->empty = true;
	if (uart->modem & MODEM_LOOP) {
		uart->received = value;
		uart->ready = true;
	} else if (c != '\r' && console_put(uart->console, &c, 1)) {
		eventfd_write(uart->notify, 1);
	}
}

static void enable(struct uart *uart, u8 value)
{
	u8 before = uart->enabled;

	uart->enabled = value & ENABLE_BITS;
	if (uart->enabled & ~before & ENABLE_EMPTY)
		uart->empty = true;
}

static void write_register(struct uart *uart, enum uart_register index, u8 value)
{
	bool divisor = uart->line & LINE_DIVISOR;

	switch (index) {
	case UART_DATA:
		if (divisor)
			uart->divisor[0] = value;
		else
			transmit(uart, value);
		break;
	case UART_ENABLE:
		if (divisor)
			uart->divisor[1] = value;
		else
			enable(uart, value);
		break;
	case UART_IDENTIFY:
		uart->fifo = value;
		break;
	case UART_LINE:
		uart->line = value;
		break;
	case UART_MODEM:
		uart->modem = value & MODEM_BITS;
		break;
	case UART_SCRATCH:
		uart->scratch = value;
		break;
	case UART_LINE_STATE:
	case UART_MODEM_STATE:
		return;
	}
	if (index == UART_DATA || index == UART_ENABLE)
		interrupt(uart);
}

/* Wider accesses are to that many registers, one after the other. */
static void uart_read(struct bus_device *device, struct bus_access *access)
{
	struct uart *uart = of_device(device);
	u64 value = 0;

	pthread_mutex_lock(&uart->lock);
	for (u32 i = 0; i < access->size; i++)
		value |= (u64)read_register(uart, (enum uart_register)(access->offset + i))
			 << 8 * i;
	pthread_mutex_unlock(&uart->lock);
	access->value = value;
}

static void uart_write(struct bus_device *device, const struct bus_access *access)
{
	struct uart *uart = of_device(device);

	pthread_mutex_lock(&uart->lock);
	for (u32 i = 0; i < access->size; i++)
		write_register(uart, (enum uart_register)(access->offset + i),
			       (u8)(access->value >> 8 * i));
	pthread_mutex_unlock(&uart->lock);
}

static const struct bus_ops uart_ops = {.name = "uart", .read = uart_read, .write = uart_write};

void uart_init(struct uart *uart, struct console *console, int notify, int irq)
{
	*uart = (struct uart){
		.device = {&uart_ops},
		.console = console,
		.notify = notify,
		.irq = irq,
		.divisor = {1, 0},
	};
	pthread_mutex_init(&uart->lock, NULL);
}
