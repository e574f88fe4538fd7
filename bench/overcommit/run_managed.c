/* SPDX-License-Identifier: Apache-2.0 */
/* A cell under Ballast: this process is the manager, as in `ballast run`. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/overcommit/cell.h"
#include "bench/overcommit/usage.h"
#include "bench/overcommit/observer.h"
#include "manager/manager.h"
#include "mem/page.h"

static struct observer observer;

static void take_guest(struct observed *to, const struct guest_snapshot *from)
{
	to->ops = from->ops;
	to->verified = from->pages_verified;
	to->failures = from->verify_failures;
	to->worked_ns = from->worked_ns;
	to->latency = from->latency;
	to->ended = from->life == GUEST_LIFE_ENDED;
	to->well = to->ended && from->exit_code == ATTACH_EXIT_OK;
	snprintf(to->why, sizeof(to->why), "%s", from->exit_text);
	observer_take_phase(to, from->phase);
}

/* The last figures before the guests are told to end: what saves what, while all of them run. */
static void savings(const struct host_snapshot *host, const u64 *pages, double *value)
{
	value[FIG_SAVED_SHARING] =
		(double)(host->ksm.pages_sharing * PAGE_SIZE + host->shared_saved_bytes);
	value[FIG_SAVED_SAME] = (double)(pages[PAGE_SAME] * PAGE_SIZE);
	value[FIG_SAVED_COMPRESSION] =
		(double)(host->pool_pages * PAGE_SIZE) - (double)host->pool_bytes;
	value[FIG_SAVED_DISK] = (double)(host->disk_pages * PAGE_SIZE);
	value[FIG_SAVED_BALLOON] = (double)(pages[PAGE_BALLOONED] * PAGE_SIZE);
}

static void sample(struct manager *manager, struct cell *cell)
{
	static struct guest_snapshot guest;
	struct host_snapshot host;
	u64 pages[PAGE_STATES] = {0};

	for (u32 i = 0; i < observer.count; i++) {
		manager_guest_snapshot(manager, i, &guest);
		take_guest(&observer.guests[i], &guest);
		for (u32 j = 0; j < PAGE_STATES; j++)
			pages[j] += guest.pages[j];
	}
	manager_host_snapshot(manager, &host);
	observer_sample(&observer, host.kernel_bytes);
	if (host.guests_running == observer.count)
		savings(&host, pages, cell->value);
	cell->value[FIG_DISK_READ] = (double)host.read_bytes;
	cell->value[FIG_DISK_WRITTEN] = (double)host.written_bytes;
}

/* Until all guests have ended. */
static void serve(struct manager *manager, struct cell *cell, const struct cell_options *options)
{
	bool told = false, now = false;

	while (manager_serve(manager, OBSERVER_MS) > 0) {
		if (told && now)
			continue;
		if (!told)
			sample(manager, cell);
		if (observer_hopeless(&observer, options) && !observer_done(&observer)) {
			manager_stop_guests(manager, false, "the benchmark gave up");
			told = now = true;
		} else if (!told && observer_done(&observer)) {
			manager_stop_guests(manager, true, "the work is done");
			told = true;
		}
	}
}

static void take_ends(struct manager *manager)
{
	static struct guest_snapshot guest;

	for (u32 i = 0; i < observer.count; i++) {
		manager_guest_snapshot(manager, i, &guest);
		take_guest(&observer.guests[i], &guest);
	}
}

int cell_run_managed(struct cell *cell, const struct cell_options *options,
		     const struct host_config *config)
{
	struct manager *manager;
	int err;

	observer_begin(&observer, cell, &options->scale);
	err = manager_create(config, &manager);
	if (err)
		return cell_end(cell, CELL_FAILED, "no manager: %s", strerror(-err));
	manager_start_guests(manager);
	serve(manager, cell, options);
	take_ends(manager);
	manager_destroy(manager);
	observer_conclude(&observer, cell);
	cell->value[FIG_CPU_GUESTS] = usage_cpu(RUSAGE_CHILDREN);
	cell->value[FIG_CPU_MANAGER] = usage_cpu(RUSAGE_SELF);
	return 0;
}
