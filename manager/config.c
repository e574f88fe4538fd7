/* SPDX-License-Identifier: Apache-2.0 */
/* What a host and a guest are when nobody says otherwise. */
#include "manager/config.h"

void host_config_defaults(struct host_config *config)
{
	*config = (struct host_config){
		.name = "ballast",
		.swap_bytes = 8 * GiB,
		.pool_percent = 20,
		.accept_percent = 100,
		.acceleration = 1,
		.cgroup = true,
		.huge_pages = true,
		.fault_poll_us = CONFIG_FAULT_POLL_US,
		.sample_ms = 1000,
		.accel = ATTACH_ACCEL_AUTO,
		.data_bytes = 32 * MiB,
		.salting = SALTING_ALL,
		.share_before_swap = true,
		.attach_mode = 0660,
		.ksm =
			{
				.pages_to_scan = 10000,
				.sleep_millisecs = 20,
				.smart_scan = true,
				.use_zero_pages = true,
				.max_page_sharing = 256,
				.advisor_max_cpu = 70,
				.advisor_target_scan_time = 200,
				.vma_budget = 50000,
			},
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
