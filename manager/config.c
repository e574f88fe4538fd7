/* SPDX-License-Identifier: Apache-2.0 */
/* What a host and a guest are when nobody says otherwise. */
#include "manager/config.h"

void host_config_defaults(struct host_config *config)
{
	*config = (struct host_config){
		.name = "ballast",
		.swap_bytes = 8 * GiB,
		.pool_percent = 20,
		.acceleration = 1,
		.cgroup = true,
		.huge_pages = true,
		.fault_poll_us = CONFIG_FAULT_POLL_US,
		.sample_ms = 1000,
		.accel = ATTACH_ACCEL_AUTO,
		.data_bytes = 32 * MiB,
	};
}

void guest_config_defaults(struct guest_config *config)
{
	*config = (struct guest_config){
		.vcpus = 1,
		.seed = 1,
		.node = -1,
		.workload = "fill",
	};
}
