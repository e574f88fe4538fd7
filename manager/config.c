/* SPDX-License-Identifier: Apache-2.0 */
/* What a host and a guest are when nobody says otherwise. */
#include "manager/config.h"

#include <string.h>

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
		.salting = SALTING_ALL,
		.share_before_swap = true,
	};
	policy_tuning_defaults(&config->policy);
}

void guest_config_defaults(struct guest_config *config)
{
	*config = (struct guest_config){
		.vcpus = 1,
		.seed = 1,
		.node = -1,
		.workload = "fill",
		.balloon = true,
	};
}

/* 0 is the domain of all who have none of their own; the others are named by their first guest. */
u32 host_config_salt(const struct host_config *config, const struct guest_config *guest)
{
	u32 own = (u32)(guest - config->guests);

	if (config->salting == SALTING_NONE)
		return 0;
	if (!guest->salt[0])
		return config->salting == SALTING_SOME ? 0 : own + 1;
	for (u32 i = 0; i < own; i++)
		if (!strcmp(config->guests[i].salt, guest->salt))
			return i + 1;
	return own + 1;
}
