// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the host of a configuration file as `ballast run` does, and moves all balloons at full speed: some
 * guest gets another target every few milliseconds, up to all of its memory, and now and then is asked for
 * its free pages. Prints in the end how many pages were given up, taken back and reported free, and how
 * often hints were asked for, on one line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cli.h"
#include "ctl/config.h"
#include "ctl/outcome.h"
#include "lib/clock.h"
#include "manager/manager.h"

#define STEP_MS 5

static void move_one(struct manager *manager, const struct host_config *config, u32 *seed)
{
	u32 index = (u32)rand_r(seed) % config->guest_count;
	u64 bytes = config->guests[index].memory_bytes;

	/* A guest may have ended, or have no balloon. */
	switch (rand_r(seed) % 8) {
	case 0:
		manager_set_balloon(manager, index, bytes);
		break;
	case 1:
	case 2:
		manager_set_balloon(manager, index, 0);
		break;
	case 3:
	case 4:
		manager_ask_free(manager, index);
		break;
	default:
		manager_set_balloon(manager, index, (u64)rand_r(seed) % bytes);
	}
}

static void run_guests(struct manager *manager, const struct host_config *config)
{
	u64 end = clock_now_ns() + config->run_seconds * NSEC_PER_SEC;
	bool told = false;
	u32 seed = 1;

	while (manager_serve(manager, STEP_MS) > 0) {
		move_one(manager, config, &seed);
		if (told || clock_now_ns() < end)
			continue;
		told = true;
		manager_stop_guests(manager, true, "the time is over");
	}
}

static void print_totals(const struct outcome *outcome)
{
	u64 inflated = 0, deflated = 0, freed = 0, hinted = 0;

	for (u32 i = 0; i < outcome->count; i++) {
		const struct balloon_snapshot *balloon = &outcome->guests[i].balloon;

		inflated += balloon->inflated;
		deflated += balloon->deflated;
		freed += balloon->freed;
		hinted += balloon->hinted;
	}
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", inflated, deflated, freed,
	       hinted);
}

int main(int argc, char **argv)
{
	struct host_config config;
	struct outcome outcome;
	struct manager *manager;
	char error[1024];
	bool ok;

	/* The manager starts its own program once more for each guest. */
	if (argc > 1 && !strcmp(argv[1], "vmm"))
		return (int)cli_main(argc, argv, NULL, 0);
	if (argc != 2 || config_read(argv[1], &config, error, sizeof(error))) {
		fprintf(stderr, "usage: balloons FILE.ini\n");
		return 2;
	}
	if (outcome_init(&outcome, config.guest_count) || manager_create(&config, &manager))
		return 1;
	manager_start_guests(manager);
	run_guests(manager, &config);
	outcome_take(&outcome, manager);
	manager_destroy(manager);
	print_totals(&outcome);
	ok = outcome_ok(&outcome);
	outcome_free(&outcome);
	config_free(&config);
	return ok ? 0 : 1;
}
