/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/urgent.h"

#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/types.h"

#define SHORTEST_SLICE_NS 100000 /* the least that the kernel grants */

void thread_is_urgent(void)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_nice = getpriority(PRIO_PROCESS, 0), /* as it is */
		.sched_runtime = SHORTEST_SLICE_NS,
	};

	syscall(SYS_sched_setattr, 0, &attr, 0);
}
