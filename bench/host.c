/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/host.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"

#define SERVE_MS 100

static void add_guest(struct manager *manager, u32 index, struct host_result *result)
{
	struct guest_snapshot guest;

	manager_guest_snapshot(manager, index, &guest);
	result->guests++;
	result->ops += guest.ops;
	result->ok += guest.life == GUEST_LIFE_ENDED && guest.exit_code == ATTACH_EXIT_OK &&
		      !guest.verify_failures;
	hist_merge(&result->latency, &guest.latency);
	for (u32 i = 0; i < ARRAY_SIZE(guest.fault_latency); i++)
		hist_merge(&result->faults, &guest.fault_latency[i]);
}

int host_run_observed(struct bench *bench, const struct host_config *config,
		      struct host_observer *observer, struct host_result *result)
{
	u64 deadline = config->run_seconds ? clock_now_ns() + config->run_seconds * NSEC_PER_SEC
					   : UINT64_MAX;
	struct manager *manager;
	bool told = false;
	int err = manager_create(config, &manager);

	memset(result, 0, sizeof(*result));
	if (err)
		return bench_fail(bench, err, "no manager: %s", strerror(-err));
	manager_start_guests(manager);
	while (manager_serve(manager, SERVE_MS) > 0) {
		if (observer)
			observer->look(observer, manager);
		if (told || clock_now_ns() < deadline)
			continue;
		manager_stop_guests(manager, true, "the time is over");
		told = true;
	}
	manager_host_snapshot(manager, &result->host);
	for (u32 i = 0; i < config->guest_count; i++)
		add_guest(manager, i, result);
	manager_destroy(manager);
	return 0;
}

int host_run(struct bench *bench, const struct host_config *config, struct host_result *result)
{
	return host_run_observed(bench, config, NULL, result);
}
