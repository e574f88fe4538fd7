// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the host of a configuration file as `ballast run` does, and prints ten times a second what the
 * manager says it uses and what the memory cgroup counts, in bytes, a line each: "used kernel".
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli.h"
#include "ctl/config.h"
#include "ctl/outcome.h"
#include "lib/clock.h"
#include "manager/cgroup.h"
#include "manager/manager.h"

#define SAMPLE_MS 100

/* What the kernel counts for the cgroup that the manager has put us in, at this moment; 0: none. */
static u64 read_kernel(void)
{
	static const char *const files[] = {
		[1] = "memory.usage_in_bytes",
		[2] = "memory.current",
	};
	struct cgroup_place place;
	char path[PATH_MAX + 32];
	unsigned long long bytes = 0;
	const char *why;
	FILE *file;

	if (cgroup_find_self(&place, &why))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", place.home, files[place.version]);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &bytes) != 1)
		bytes = 0;
	fclose(file);
	return bytes;
}

/* Until the last guest has ended; tells them to when the time of the configuration is over. */
static void watch(struct manager *manager, const struct host_config *config)
{
	u64 end = clock_now_ns() + config->run_seconds * NSEC_PER_SEC;
	struct host_snapshot host;
	bool told = false;

	while (manager_serve(manager, SAMPLE_MS) > 0) {
		manager_host_snapshot(manager, &host);
		printf("%" PRIu64 " %" PRIu64 "\n", host.used_bytes, read_kernel());
		if (told || clock_now_ns() < end)
			continue;
		told = true;
		manager_stop_guests(manager, true, "the time is over");
	}
}

static int run(const struct host_config *config)
{
	struct outcome outcome;
	struct manager *manager;
	bool ok;

	if (outcome_init(&outcome, config->guest_count) || manager_create(config, &manager))
		return 1;
	manager_start_guests(manager);
	watch(manager, config);
	outcome_take(&outcome, manager);
	manager_destroy(manager);
	ok = outcome_ok(&outcome);
	outcome_free(&outcome);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct host_config config;
	char error[1024];
	int status;

	/* The manager starts its own program once more for each guest. */
	if (argc > 1 && !strcmp(argv[1], "vmm"))
		return (int)cli_main(argc, argv, NULL, 0);
	if (argc != 2 || config_read(argv[1], &config, error, sizeof(error))) {
		fprintf(stderr, "usage: usage FILE.ini%s%s\n", argc == 2 ? ": " : "",
			argc == 2 ? error : "");
		return 2;
	}
	status = run(&config);
	config_free(&config);
	return status;
}
