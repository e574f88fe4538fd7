// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the host of a configuration file, whose one guest is a Linux kernel, and plays with its balloon:
 * waits for the kernel's own driver, sees it report its free pages, inflates, reads what the guest says
 * of itself, deflates, and looks whether it is still there. Each step waits for what it should lead to,
 * by the figures of the manager, of the kernel's memory cgroup, and of the guest; a line each on standard
 * output. How long a step takes says nothing here, so all of them together may take DEADLINE_S seconds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "balloon/abi.h"
#include "ctl/cli.h"
#include "ctl/config.h"
#include "lib/clock.h"
#include "manager/manager.h"
#include "mem/page.h"

#define DEADLINE_S    1500
#define SERVE_MS      100
#define BALLOON_BYTES (64 * MiB)
/* Free memory comes in blocks, and some of it is in use for a while: what must be seen of 64 MiB. */
#define MOST_OF_IT (48 * MiB)

struct rig {
	struct manager *manager;
	u64 deadline_ns, step_ns; /* when the present step began */
	u64 budget_bytes;
	bool pressed; /* the budget is smaller than the guest's memory */
	bool over;    /* more was used than the budget allows, at any time */
	struct guest_snapshot guest;
	struct host_snapshot host;
	u64 used_before, dropped_before;
	u64 free_most; /* it has less for a while, when it is reporting it */
};

static u64 state_bytes(const struct rig *rig, enum page_state state)
{
	return rig->guest.pages[state] * PAGE_SIZE;
}

static u64 stat(const struct rig *rig, enum balloon_stat tag)
{
	return rig->guest.balloon.values[tag];
}

static bool says(const struct rig *rig, enum balloon_stat tag)
{
	return rig->guest.balloon.valid >> tag & 1;
}

/* The guest has answered since the step began. */
static bool fresh(const struct rig *rig)
{
	u64 now_ns = clock_now_ns();
	u64 age_ms = rig->guest.balloon.stats_age_ms;

	return age_ms != UINT64_MAX && age_ms * NSEC_PER_MSEC < now_ns - rig->step_ns;
}

static bool runs(const struct rig *rig)
{
	return rig->guest.life == GUEST_LIFE_RUNNING;
}

static bool driver_is_there(const struct rig *rig)
{
	const u64 needed = 1U << BALLOON_F_STATS_VQ | 1U << BALLOON_F_REPORTING |
			   1U << BALLOON_F_DEFLATE_ON_OOM;

	return (rig->guest.balloon.features & needed) == needed;
}

static bool tells_statistics(const struct rig *rig)
{
	return fresh(rig) && says(rig, BALLOON_STAT_FREE) && says(rig, BALLOON_STAT_TOTAL) &&
	       stat(rig, BALLOON_STAT_FREE) > MOST_OF_IT &&
	       stat(rig, BALLOON_STAT_FREE) < stat(rig, BALLOON_STAT_TOTAL) &&
	       stat(rig, BALLOON_STAT_TOTAL) <= rig->guest.memory_bytes;
}

/* All of its memory was touched, so what it does not use is resident, or stored. */
static bool reports_free_pages(const struct rig *rig)
{
	u64 freed = (rig->guest.balloon.freed - rig->dropped_before) * PAGE_SIZE;
	u64 needed = rig->pressed ? 1 : MOST_OF_IT;

	return freed >= needed &&
	       (rig->pressed || rig->host.used_bytes + needed <= rig->used_before);
}

static bool is_inflated(const struct rig *rig)
{
	return rig->guest.balloon.actual == BALLOON_BYTES &&
	       state_bytes(rig, PAGE_BALLOONED) == BALLOON_BYTES &&
	       state_bytes(rig, PAGE_RESIDENT) <= rig->guest.memory_bytes - BALLOON_BYTES;
}

static bool has_less_memory(const struct rig *rig)
{
	return fresh(rig) && stat(rig, BALLOON_STAT_FREE) + MOST_OF_IT <= rig->free_most;
}

static bool is_deflated(const struct rig *rig)
{
	return !rig->guest.balloon.actual && !state_bytes(rig, PAGE_BALLOONED);
}

static bool has_its_memory_again(const struct rig *rig)
{
	return fresh(rig) &&
	       stat(rig, BALLOON_STAT_FREE) + BALLOON_BYTES - MOST_OF_IT >= rig->free_most;
}

static void look(struct rig *rig)
{
	manager_guest_snapshot(rig->manager, 0, &rig->guest);
	manager_host_snapshot(rig->manager, &rig->host);
	if (says(rig, BALLOON_STAT_FREE))
		rig->free_most = MAX(rig->free_most, stat(rig, BALLOON_STAT_FREE));
	if (rig->host.used_bytes > rig->budget_bytes ||
	    rig->host.peak_kernel_bytes > rig->budget_bytes + rig->host.slack_bytes)
		rig->over = true;
}

static void show(const struct rig *rig, const char *verdict, const char *what)
{
	const struct balloon_snapshot *balloon = &rig->guest.balloon;

	printf("%s: %s: after %" PRIu64 " s; balloon %" PRIu64 " of %" PRIu64 " MiB, %" PRIu64
	       " pages inflated, %" PRIu64 " deflated, %" PRIu64 " freed; guest says %" PRIu64
	       " of %" PRIu64 " MiB free; resident %" PRIu64 " MiB, ballooned %" PRIu64
	       " MiB, evicted %" PRIu64 " pages; host uses %" PRIu64 " MiB, kernel counts %" PRIu64
	       " MiB\n",
	       verdict, what, (clock_now_ns() - rig->step_ns) / NSEC_PER_SEC, balloon->actual / MiB,
	       balloon->target / MiB, balloon->inflated, balloon->deflated, balloon->freed,
	       stat(rig, BALLOON_STAT_FREE) / MiB, stat(rig, BALLOON_STAT_TOTAL) / MiB,
	       state_bytes(rig, PAGE_RESIDENT) / MiB, state_bytes(rig, PAGE_BALLOONED) / MiB,
	       rig->guest.evicted_pages, rig->host.used_bytes / MiB, rig->host.kernel_bytes / MiB);
	fflush(stdout);
}

/* Serves until it is so. False, said, when the guest ends before, the time is over, or the budget was
 * not kept. */
static bool await(struct rig *rig, const char *what, bool (*is_so)(const struct rig *rig))
{
	rig->step_ns = clock_now_ns();
	do {
		if (manager_serve(rig->manager, SERVE_MS) <= 0) {
			look(rig);
			show(rig, "FAILED, the guest has ended", what);
			return false;
		}
		look(rig);
	} while (!is_so(rig) && !rig->over && clock_now_ns() < rig->deadline_ns);
	if (rig->over || !is_so(rig)) {
		show(rig, rig->over ? "FAILED, over budget" : "FAILED, too late", what);
		return false;
	}
	show(rig, "done", what);
	return true;
}

static bool set_balloon(struct rig *rig, u64 bytes)
{
	int err = manager_set_balloon(rig->manager, 0, bytes);

	if (err)
		printf("FAILED: the balloon cannot be set: %s\n", strerror(-err));
	return !err;
}

/* Where the guest's RAM is mapped in its VMM: shared, aligned to regions, from the file's beginning. (The
 * kernel lists it in pieces.) 0: nowhere. */
static u64 find_ram(const struct rig *rig)
{
	unsigned long start, offset;
	char line[512], mode[8];
	u64 found = 0;
	FILE *maps;

	snprintf(line, sizeof(line), "/proc/%d/maps", rig->guest.pid);
	maps = fopen(line, "re");
	while (maps && !found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%*x %7s %lx", &start, mode, &offset) == 3 && mode[3] == 's' &&
		    !offset && !(start % REGION_SIZE))
			found = start;
	if (maps)
		fclose(maps);
	return found;
}

/*
 * Reads a byte of each region of the guest's memory from outside, which makes the manager bring all of it:
 * as if the guest had used its memory, but at the price of a few system calls. (Letting the kernel write
 * it would do, but it takes minutes where it is emulated.)
 */
static bool touch_all(struct rig *rig)
{
	u64 ram = find_ram(rig);
	u8 byte;

	for (u64 at = 0; ram && at < rig->guest.memory_bytes; at += REGION_SIZE) {
		const struct iovec here = {&byte, 1};
		const struct iovec there = {(void *)(uintptr_t)(ram + at), 1};

		if (process_vm_readv(rig->guest.pid, &here, 1, &there, 1, 0) != 1)
			ram = 0;
	}
	if (!ram)
		printf("FAILED: the guest's memory cannot be read in its VMM\n");
	return ram;
}

static bool play(struct rig *rig)
{
	if (!await(rig, "it runs", runs) || !touch_all(rig) ||
	    !await(rig, "the driver is there", driver_is_there))
		return false;
	rig->used_before = rig->host.used_bytes;
	rig->dropped_before = rig->guest.balloon.freed;
	if (!await(rig, "free pages are reported", reports_free_pages) ||
	    !await(rig, "statistics come", tells_statistics))
		return false;
	return set_balloon(rig, BALLOON_BYTES) && await(rig, "inflated", is_inflated) &&
	       await(rig, "the guest has less", has_less_memory) && set_balloon(rig, 0) &&
	       await(rig, "deflated", is_deflated) &&
	       await(rig, "the guest lives and has its memory again", has_its_memory_again);
}

static bool end(struct rig *rig)
{
	u64 deadline_ns = clock_now_ns() + 60 * NSEC_PER_SEC;

	manager_stop_guests(rig->manager, true, "the test is over");
	while (manager_serve(rig->manager, SERVE_MS) > 0 && clock_now_ns() < deadline_ns)
		;
	look(rig);
	if (rig->guest.life == GUEST_LIFE_ENDED && rig->guest.exit_code == ATTACH_EXIT_OK)
		return true;
	printf("FAILED: the guest ended badly: %s\n", rig->guest.exit_text);
	return false;
}

static bool run(const struct host_config *config)
{
	struct rig rig = {
		.deadline_ns = clock_now_ns() + DEADLINE_S * NSEC_PER_SEC,
		.budget_bytes = config->memory_bytes,
		.pressed = config->memory_bytes < config->guests[0].memory_bytes,
	};
	bool good;

	if (manager_create(config, &rig.manager))
		return false;
	good = !manager_start_guests(rig.manager) && play(&rig);
	good = end(&rig) && good;
	if (good && rig.pressed && !rig.guest.evicted_pages) {
		printf("FAILED: nothing was evicted, so the guest was not under pressure\n");
		good = false;
	}
	manager_destroy(rig.manager);
	return good;
}

int main(int argc, char **argv)
{
	struct host_config config;
	char error[1024];
	bool good;

	/* The manager starts its own program once more for each guest. */
	if (argc > 1 && !strcmp(argv[1], "vmm"))
		return (int)cli_main(argc, argv, NULL, 0);
	if (argc != 2 || config_read(argv[1], &config, error, sizeof(error))) {
		fprintf(stderr, "usage: balloon FILE.ini%s%s\n", argc == 2 ? ": " : "",
			argc == 2 ? error : "");
		return 2;
	}
	good = run(&config);
	config_free(&config);
	return good ? 0 : 1;
}
