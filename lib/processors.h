/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host's processors are enough for those who want one. */
#ifndef LIB_PROCESSORS_H
#define LIB_PROCESSORS_H

#include <stdbool.h>

struct processors {
	int loadavg; /* /proc/loadavg; negative: it cannot be read */
	long online;
};

void processors_open(struct processors *processors);
void processors_close(struct processors *processors);

/* Whether at this moment more threads want a processor than there are, the caller's left out. False where nobody tells.
 * Takes some microseconds. */
bool processors_are_short(const struct processors *processors);

#endif
