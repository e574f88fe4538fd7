/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A serial port (National Semiconductor's data sheet, 1995), as much of it as a kernel's
 * console needs: the transmitter is always ready, nothing is ever received but in loop-back, and
 * interrupts say that the transmitter is empty. Speed, parity and modem lines are stored and mean
 * nothing. Eight ports; what the guest writes goes to its console.
 */
#ifndef HV_UART_H
#define HV_UART_H

#include "hv/bus.h"
#include "hv/console.h"

#define UART_PORT  0x3f8
#define UART_PORTS 8
#define UART_IRQ   4

struct uart {
	struct bus_device device;
	struct console *console;
	int notify; /* eventfd: console text to fetch */
	int irq;    /* eventfd: an edge of its interrupt line */

	pthread_mutex_t lock; /* guards all below; a leaf but for the console's */
	u8 divisor[2];
	u8 enabled; /* interrupts */
	u8 fifo, line, modem, scratch;
	u8 received; /* in loop-back */
	bool ready;  /* `received` is there */
	bool empty;  /* the transmitter became empty, and nobody has been told */
};

/* Console and eventfds stay the caller's and outlive the port. */
void uart_init(struct uart *uart, struct console *console, int notify, int irq);

#endif
