/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/processors.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void processors_open(struct processors *processors)
{
	processors->loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	processors->online = sysconf(_SC_NPROCESSORS_ONLN);
}

void processors_close(struct processors *processors)
{
	if (processors->loadavg >= 0)
		close(processors->loadavg);
}

bool processors_are_short(const struct processors *processors)
{
	char text[128];
	ssize_t length = pread(processors->loadavg, text, sizeof(text) - 1, 0);
	long runnable;

	if (length <= 0)
		return false;
	text[length] = '\0';
	/* Three averages, then "threads that run or could / threads". */
	if (sscanf(text, "%*s %*s %*s %ld/", &runnable) != 1)
		return false;
	return runnable - 1 > processors->online;
}
