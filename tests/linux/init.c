// SPDX-License-Identifier: Apache-2.0
/*
 * All of the user space of the fixture's kernel: says that it is there, and stays. Freestanding and
 * static, because the initial RAM disk holds nothing else.
 */
#include <sys/syscall.h>

static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

void _start(void)
{
	static const char text[] = "user space is here\n";

	call(SYS_write, 1, (long)text, sizeof(text) - 1);
	for (;;)
		call(SYS_pause, 0, 0, 0);
}
